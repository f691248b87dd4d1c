import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson, stringifyJson } from "@interlock-dev/interlock";

const EXACT = [
  "9007199254740993",
  "-9007199254740993",
  "1000000000000000000000000000001",
  '{"a":[9007199254740993,{"b":-9223372036854775809}]}',
  '{"digits in a text":"9007199254740993, \\"9007199254740993\\" \\\\"}',
  '{"9007199254740993":9007199254740993}',
  '{"__proto__":{"n":9007199254740993}}',
  '["\\ud800",""," ","🚀"]',
  "null",
];

for (const text of EXACT) {
  test(`loses nothing of ${text}`, () => {
    assert.equal(stringifyJson(parseJson(text)), text);
  });
}

test("integers that a number holds are numbers", () => {
  assert.deepEqual(
    parseJson("[9007199254740991, -9007199254740991, 0, 1e3, 0.5]"),
    [9007199254740991, -9007199254740991, 0, 1000, 0.5],
  );
});

test("larger ones are bigints, and what is no integer a number", () => {
  assert.deepEqual(parseJson("[9007199254740992, 12345678901234567890.0, 1e400]"), [
    9007199254740992n,
    12345678901234567000,
    Infinity,
  ]);
});

test("a key named __proto__ is a key", () => {
  const value = parseJson('{"__proto__":1,"n":9007199254740993}') as object;
  assert.deepEqual(Object.keys(value), ["__proto__", "n"]);
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
});

test("what is not JSON is refused", () => {
  for (const value of [Number.NaN, Infinity, { a: [Number.NaN] }, undefined, () => 1]) {
    assert.throws(() => stringifyJson(value), TypeError);
  }
  for (const text of ["", "01", "9007199254740993n", "[9007199254740993", "NaN"]) {
    assert.throws(() => parseJson(text), SyntaxError);
  }
});

test("it heeds toJSON, and leaves undefined out", () => {
  const time = new Date("2026-01-02T03:04:05Z");
  assert.equal(stringifyJson({ time, none: undefined }), '{"time":"2026-01-02T03:04:05.000Z"}');
});
