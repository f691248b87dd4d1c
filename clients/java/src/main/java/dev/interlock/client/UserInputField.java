package dev.interlock.client;

import com.fasterxml.jackson.databind.JsonNode;
import dev.interlock.v1.UserInputFieldType;
import java.util.List;

/**
 * One value that a person must supply.
 *
 * @param name name of the value; for a tool, of the argument
 * @param type {@code STRING}, {@code INTEGER}, {@code NUMBER}, {@code BOOLEAN}, {@code ARRAY} or
 *     {@code OBJECT}; empty when any will do
 * @param description text to show to the person
 * @param value what the agent proposed; missing when it proposed nothing
 * @param required whether a value must be given
 * @param allowedValues the values to choose from; empty means any of the type
 */
public record UserInputField(
    String name,
    String type,
    String description,
    JsonNode value,
    boolean required,
    List<JsonNode> allowedValues) {

  static UserInputField of(dev.interlock.v1.UserInputField message) {
    return new UserInputField(
        message.getName(),
        Names.of(UserInputFieldType.getDescriptor(), message.getTypeValue()),
        message.getDescription(),
        Json.read(message.getValueJson()),
        message.getRequired(),
        message.getAllowedValuesJsonList().stream().map(Json::read).toList());
  }
}
