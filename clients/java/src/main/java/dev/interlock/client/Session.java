package dev.interlock.client;

import com.fasterxml.jackson.databind.JsonNode;

/**
 * Groups runs that share state.
 *
 * @param id chosen by the caller, or made by the service
 * @param userId who owns it
 * @param state what functions, tools and agents of its runs can read and change: an object
 * @param etag changes whenever the session changes
 */
public record Session(String id, String userId, JsonNode state, String etag) {
  static Session of(dev.interlock.v1.Session message) {
    return new Session(
        message.getSessionId(),
        message.getUserId(),
        Json.read(message.getStateJson()),
        message.getEtag());
  }
}
