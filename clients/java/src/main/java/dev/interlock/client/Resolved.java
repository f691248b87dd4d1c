package dev.interlock.client;

/**
 * What resolving a requirement gave.
 *
 * @param requirement the requirement as it is now
 * @param runState state of its run after the answer, for example {@code RUNNING}
 */
public record Resolved(Requirement requirement, String runState) {}
