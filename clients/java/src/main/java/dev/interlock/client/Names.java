package dev.interlock.client;

import com.google.protobuf.Descriptors.EnumDescriptor;
import com.google.protobuf.Descriptors.EnumValueDescriptor;

/** Names of the contract's enum values, without their prefix. */
final class Names {
  private static final String UNSPECIFIED = "UNSPECIFIED";

  private Names() {}

  /**
   * The name of a value; empty when it is not set. A value that is newer than this client is named
   * by its number.
   */
  static String of(EnumDescriptor type, int number) {
    EnumValueDescriptor value = type.findValueByNumber(number);
    if (value == null) {
      return Integer.toString(number);
    }
    String unspecified = type.findValueByNumber(0).getName();
    String prefix = unspecified.substring(0, unspecified.length() - UNSPECIFIED.length());
    return number == 0 ? "" : value.getName().substring(prefix.length());
  }
}
