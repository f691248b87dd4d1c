"""Every bound on what users can ask for, with its unit in its name."""

name_characters_max = 100
request_id_characters_max = 64
note_characters_max = 4_000
labels_max = 64
label_key_characters_max = 63
label_value_characters_max = 255
resolutions_max = 1_000

worker_id_characters_max = 64
claim_tools_max = 100
claim_seconds_min = 1
claim_seconds_max = 3_600

json_characters_max = 1_000_000
json_depth_max = 100
record_characters_max = 4_000_000

message_bytes_max = 16 * 1024 * 1024
metadata_bytes_max = 16 * 1024

page_runs_default = 50
page_runs_max = 500
page_events_default = 100
page_events_max = 1_000
page_token_characters_max = 1_000
stream_batch_events_max = 200
events_bytes_max = 2 * 1024 * 1024

tree_depth_max = 50
nested_workflows_max = 10
nodes_max = 1_000
loop_iterations_max = 1_000
routes_chosen_max = 1_000
tool_calls_per_turn_max = 100
turns_default = 20
turns_max = 1_000
journal_entries_max = 100_000
finished_steps_min = 100
event_bytes_max = 8 * 1024 * 1024
parallel_branches_max = 500
open_runs_max = 1_000_000
timeout_seconds_max = 10 * 366 * 24 * 3_600
function_threads_max = 64

recent_bytes_max = 64 * 1024 * 1024
shown_bytes_max = 32 * 1024 * 1024
kept_results_min = 20
carried_results_max = 20
watchers_max = 10_000
