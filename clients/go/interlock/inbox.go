package interlock

import (
	"cmp"
	"context"
	"iter"

	"google.golang.org/protobuf/proto"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// RequirementFilter selects requirements. A requirement must match every field that is set.
type RequirementFilter struct {
	RunID      string             // Of this run.
	WorkflowID string             // Of this workflow.
	SessionID  string             // Of this session.
	States     []RequirementState // In one of these states.
	Kinds      []RequirementKind  // Of one of these kinds.
	ToolNames  []string           // For one of these tools.
}

// ResolveOptions says more about an answer.
type ResolveOptions struct {
	// HoldRun keeps the run paused until somebody continues it.
	HoldRun bool
}

// Resolution is what a resolved requirement has become.
type Resolution struct {
	// Requirement is the requirement as it is now.
	Requirement *Requirement
	// RunState is the state of its run after the answer.
	RunState RunState
}

// GetRequirement gets a requirement.
func (c *Client) GetRequirement(ctx context.Context, id string) (*Requirement, error) {
	request := &interlockv1.GetRequirementRequest{RequirementId: id}
	reply, err := call(ctx, c, c.requirements.GetRequirement, request, 0)
	if err != nil {
		return nil, err
	}
	return requirementFrom(reply.GetRequirement()), nil
}

// ListRequirements lists requirements of all runs, oldest first, page by page. No filter, and
// one without states, select those that wait.
func (c *Client) ListRequirements(
	ctx context.Context, filter *RequirementFilter,
) iter.Seq2[*Requirement, error] {
	return pages(func(token string) ([]*Requirement, string, error) {
		selected, err := valueOf(filter).message()
		if err != nil {
			return nil, "", err
		}
		request := &interlockv1.ListRequirementsRequest{PageToken: token, Filter: selected}
		reply, err := call(ctx, c, c.requirements.ListRequirements, request, 0)
		return mapped(reply.GetRequirements(), requirementFrom), reply.GetNextPageToken(), err
	})
}

// WatchRequirements streams requirements as they appear and change, those that wait first; it
// never ends. A requirement may come more than once. A filter without states selects all.
func (c *Client) WatchRequirements(
	ctx context.Context, filter *RequirementFilter,
) iter.Seq2[*Requirement, error] {
	return stream(ctx, c, func() (cursor[inboxReply, *Requirement], error) {
		selected, err := valueOf(filter).message()
		return &inboxCursor{c, &interlockv1.WatchRequirementsRequest{Filter: selected}}, err
	})
}

// Resolve sends the decision that was made on a requirement. When its step waits for nothing
// else, the step goes on by itself. The same decision again gets the same answer; another one
// than before fails with an [AlreadyResolvedError].
func (c *Client) Resolve(
	ctx context.Context, requirement *Requirement, options *ResolveOptions,
) (*Resolution, error) {
	return c.ResolveByID(ctx, requirement.ID(), requirement.decision, options)
}

// ResolveByID is [Client.Resolve] for who has only the requirement's id. Whether the decision
// fits is for the server to say.
func (c *Client) ResolveByID(
	ctx context.Context, id string, decision Decision, options *ResolveOptions,
) (*Resolution, error) {
	if err := decision.check(id); err != nil {
		return nil, err
	}
	reply, err := call(ctx, c, c.requirements.ResolveRequirement, &interlockv1.ResolveRequirementRequest{
		Resolution: decision.resolving(id), HoldRun: valueOf(options).HoldRun, RequestId: newID(),
	}, 0)
	if err != nil {
		return nil, err
	}
	return &Resolution{
		requirementFrom(reply.GetRequirement()), RunState(EnumName(reply.GetRunState())),
	}, nil
}

func (f RequirementFilter) message() (*interlockv1.RequirementFilter, error) {
	states, err := enumNumbers[interlockv1.RequirementState](f.States)
	if err != nil {
		return nil, err
	}
	kinds, err := enumNumbers[interlockv1.RequirementKind](f.Kinds)
	return &interlockv1.RequirementFilter{
		RunId:      f.RunID,
		WorkflowId: f.WorkflowID,
		SessionId:  f.SessionID,
		States:     states,
		Kinds:      kinds,
		ToolNames:  f.ToolNames,
	}, err
}

type inboxReply = *interlockv1.WatchRequirementsResponse

// inboxCursor is the position in the changes of requirements.
type inboxCursor struct {
	client  *Client
	request *interlockv1.WatchRequirementsRequest
}

func (i *inboxCursor) open(ctx context.Context) (func() (inboxReply, error), error) {
	call, err := i.client.requirements.WatchRequirements(ctx, proto.CloneOf(i.request))
	if err != nil {
		return nil, err
	}
	return call.Recv, nil
}

func (i *inboxCursor) take(reply inboxReply) ([]*Requirement, bool) {
	i.request.ResumeToken = cmp.Or(reply.GetResumeToken(), i.request.GetResumeToken())
	if reply.GetRequirement() == nil {
		return nil, true
	}
	return []*Requirement{requirementFrom(reply.GetRequirement())}, true
}

func (*inboxCursor) isFinished() bool { return false }
