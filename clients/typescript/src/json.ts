/**
 * JSON without losses: integers that a `number` cannot hold are `bigint`s, both ways.
 *
 * Every value of a user travels as JSON text. `JSON.parse` alone would round
 * 9007199254740993, and `JSON.stringify` alone refuses a `bigint`.
 *
 * @module
 */

/** A value of JSON. Integers from 2^53 on, positive or negative, are `bigint`s. */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;

/** An object of JSON. */
export interface JsonObject {
  [name: string]: JsonValue;
}

// Strings, so that digits inside of them are passed over, or numbers.
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const LONG_INTEGER = /^-?\d{16,}$/;

/** Stands before the digits of a `bigint` while they are in a string. Nobody can guess it. */
const MARK = `${crypto.randomUUID()}:`;
const MARKED = new RegExp(`"${MARK}(-?\\d+)"`, "g");

/**
 * Parses JSON text.
 *
 * @throws SyntaxError - the text is not JSON.
 */
export function parseJson(text: string): JsonValue {
  if (!/\d{16}/.test(text)) {
    return JSON.parse(text) as JsonValue;
  }
  const marked = text.replace(TOKENS, (token) => (isUnsafe(token) ? `"${MARK}${token}"` : token));
  return JSON.parse(marked, (_name, value: unknown) =>
    typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value,
  ) as JsonValue;
}

/**
 * Writes a value as compact JSON text. As with `JSON.stringify`, `toJSON` is heeded and
 * `undefined` left out of objects.
 *
 * @throws TypeError - the value has no JSON: NaN or an infinity is in it, or it refers to
 * itself, or it is `undefined` or a function.
 */
export function stringifyJson(value: unknown): string {
  const marked = JSON.stringify(value, (name, one: unknown) => {
    if (typeof one === "number" && !Number.isFinite(one)) {
      throw new TypeError(`${one}${name && ` at ${JSON.stringify(name)}`} is not JSON`);
    }
    return typeof one === "bigint" ? MARK + one : one;
  }) as string | undefined;
  if (marked === undefined) {
    throw new TypeError(`${typeof value} is not JSON`);
  }
  return marked.replace(MARKED, "$1");
}

/** A value from a field in which the empty text means that there is none. */
export function parseField(text: string | undefined): JsonValue | undefined {
  return text ? parseJson(text) : undefined;
}

/** An object from a field in which the empty text means that there is none. */
export function parseObject(text: string | undefined): JsonObject {
  return (parseField(text) ?? {}) as JsonObject;
}

function isUnsafe(token: string): boolean {
  return LONG_INTEGER.test(token) && !Number.isSafeInteger(Number(token));
}
