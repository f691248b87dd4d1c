package dev.interlock.client;

/** Executes the calls of one tool. It may be called from several threads at once. */
@FunctionalInterface
public interface ToolHandler {
  /**
   * Executes a call.
   *
   * @return the result: what {@link Json#write} takes, also null
   * @throws Exception the call failed. The agent reads its message, so write it for the agent.
   */
  Object handle(ToolCall call) throws Exception;
}
