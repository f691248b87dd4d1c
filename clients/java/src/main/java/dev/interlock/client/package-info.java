/**
 * Runs agent workflows that pause for people, and answers what they wait for.
 *
 * <p>{@link dev.interlock.client.InterlockClient} is where to begin. The messages of the contract
 * and the generated stubs are in {@code dev.interlock.v1}.
 */
package dev.interlock.client;
