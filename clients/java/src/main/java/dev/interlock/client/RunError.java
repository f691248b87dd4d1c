package dev.interlock.client;

import java.util.Map;

/**
 * Why a run or a step failed.
 *
 * @param reason stable, in UPPER_SNAKE_CASE
 * @param message text for a developer
 * @param metadata facts behind the message
 */
public record RunError(String reason, String message, Map<String, String> metadata) {
  static RunError of(dev.interlock.v1.RunError message) {
    return new RunError(
        message.getReason(), message.getMessage(), Map.copyOf(message.getMetadataMap()));
  }
}
