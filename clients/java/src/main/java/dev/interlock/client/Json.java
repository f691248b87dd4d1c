package dev.interlock.client;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.core.util.JsonGeneratorDelegate;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.io.IOException;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;

/**
 * JSON as text: the form in which every value of a user travels.
 *
 * <p>Numbers keep all their digits, whatever their size: integers come out as the smallest of
 * {@code int}, {@code long} and {@code BigInteger} that holds them, others as {@code BigDecimal}.
 */
public final class Json {
  private static final int NUMBER_CHARACTERS_MAX = 1_000_000;
  private static final ObjectMapper MAPPER = mapper();

  private Json() {}

  /**
   * Writes a value as compact JSON text: a {@link JsonNode}, or whatever Jackson makes JSON of,
   * such as maps, lists, strings, numbers, records and beans.
   *
   * @throws IllegalArgumentException the value holds something that JSON does not have
   */
  public static String write(Object value) {
    String text = write(value, false);
    // A string of protobuf cannot carry half a surrogate pair; its escape can.
    boolean isUnicode = StandardCharsets.UTF_8.newEncoder().canEncode(text);
    return isUnicode ? text : write(value, true);
  }

  /**
   * Parses JSON text. The empty text, which stands for "absent", is a {@link MissingNode}.
   *
   * @throws IllegalArgumentException the text is not JSON
   */
  public static JsonNode read(String text) {
    if (text.isEmpty()) {
      return MissingNode.getInstance();
    }
    try {
      return MAPPER.readTree(text);
    } catch (JsonProcessingException error) {
      throw new IllegalArgumentException("not JSON: " + error.getOriginalMessage(), error);
    }
  }

  /**
   * Makes a value of one of your types. Properties that the type does not have are passed over;
   * null when the value is absent or null.
   *
   * @throws IllegalArgumentException the value does not fit the type
   */
  public static <T> T convert(JsonNode value, Class<T> type) {
    try {
      return value.isMissingNode() ? null : MAPPER.treeToValue(value, type);
    } catch (JsonProcessingException error) {
      throw new IllegalArgumentException(
          "not a " + type.getSimpleName() + ": " + error.getOriginalMessage(), error);
    }
  }

  private static String write(Object value, boolean escaping) {
    StringWriter text = new StringWriter();
    try (JsonGenerator generator = new Strict(MAPPER.createGenerator(text))) {
      generator.configure(JsonWriteFeature.ESCAPE_NON_ASCII.mappedFeature(), escaping);
      MAPPER.writeValue(generator, value);
    } catch (IOException error) {
      throw new IllegalArgumentException("cannot be JSON: " + error.getMessage(), error);
    }
    return text.toString();
  }

  private static ObjectMapper mapper() {
    StreamReadConstraints constraints =
        StreamReadConstraints.builder().maxNumberLength(NUMBER_CHARACTERS_MAX).build();
    JsonFactory factory = JsonFactory.builder().streamReadConstraints(constraints).build();
    return JsonMapper.builder(factory)
        .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
        .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
        .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
        .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
        .build();
  }

  /** Refuses NaN and the infinities, which would become strings. */
  private static final class Strict extends JsonGeneratorDelegate {
    Strict(JsonGenerator generator) {
      super(generator, false);
    }

    @Override
    public void writeNumber(double value) throws IOException {
      if (!Double.isFinite(value)) {
        throw new IOException(value + " is not JSON");
      }
      super.writeNumber(value);
    }

    @Override
    public void writeNumber(float value) throws IOException {
      if (!Float.isFinite(value)) {
        throw new IOException(value + " is not JSON");
      }
      super.writeNumber(value);
    }
  }
}
