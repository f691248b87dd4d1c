package dev.interlock.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
  private record City(String name, BigInteger inhabitants) {}

  @ParameterizedTest
  @ValueSource(
      strings = {
        "9007199254740993",
        "-9223372036854775809",
        "1000000000000000000000000000001",
        "780.0",
        "0.1000000000000000055511151231257827",
        "{\"b\":1,\"a\":[null,true,\"\",{}]}",
        "\"\u2028 \uD83D\uDE80 e\u0301\"",
        "null"
      })
  void comesOutAsItWentIn(String text) {
    assertEquals(text, Json.write(Json.read(text)));
  }

  @Test
  void numbersAreTyped() {
    JsonNode numbers = Json.read("[1, 9007199254740993, 1000000000000000000000000000001, 0.1]");
    assertEquals(1, numbers.get(0).intValue());
    assertEquals(9007199254740993L, numbers.get(1).longValue());
    assertEquals(BigInteger.TEN.pow(30).add(BigInteger.ONE), numbers.get(2).bigIntegerValue());
    assertEquals(new BigDecimal("0.1"), numbers.get(3).decimalValue());
  }

  @Test
  void writesWhatJavaHas() {
    assertEquals(
        "[[\"Tokyo\",780.0],null]", Json.write(Arrays.asList(List.of("Tokyo", 780.0), null)));
    assertEquals(
        "{\"name\":\"Tokyo\",\"inhabitants\":14000000}",
        Json.write(new City("Tokyo", BigInteger.valueOf(14_000_000))));
  }

  @Test
  void convertsToTypes() {
    JsonNode city = Json.read("{\"name\":\"Tokyo\",\"inhabitants\":9007199254740993,\"newer\":1}");
    assertEquals(
        new City("Tokyo", new BigInteger("9007199254740993")), Json.convert(city, City.class));
    assertThrows(IllegalArgumentException.class, () -> Json.convert(city, Integer.class));
    assertNull(Json.convert(Json.read(""), City.class));
  }

  @Test
  void halfASurrogatePairIsEscaped() {
    assertEquals("[\"\\uD800\",\"\\u00E9\"]", Json.write(List.of("\uD800", "é")));
  }

  @Test
  void theEmptyTextIsAbsent() {
    assertTrue(Json.read("").isMissingNode());
  }

  @ParameterizedTest
  @ValueSource(strings = {"NaN", "{", "1 2", "{'a':1}"})
  void refusesWhatIsNotJson(String text) {
    assertThrows(IllegalArgumentException.class, () -> Json.read(text));
  }

  @ParameterizedTest
  @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY})
  void refusesNumbersThatJsonLacks(double number) {
    assertThrows(IllegalArgumentException.class, () -> Json.write(Map.of("a", List.of(number))));
    assertThrows(IllegalArgumentException.class, () -> Json.write((float) number));
  }
}
