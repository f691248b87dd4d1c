import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "#dist/backoff.js";

function backoff(limitMs: number) {
  const time = { now: 0 };
  return {
    time,
    backoff: new Backoff(
      limitMs,
      () => time.now,
      () => 1,
    ),
  };
}

test("waits double, up to the longest", () => {
  const { backoff: one } = backoff(Infinity);
  const waits = Array.from({ length: 9 }, () => one.next());
  assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
});

test("it is jittered by half", () => {
  const one = new Backoff(
    Infinity,
    () => 0,
    () => 0,
  );
  assert.equal(one.next(), 50);
});

test("what the server asks for comes on top", () => {
  assert.equal(backoff(Infinity).backoff.next(2_000), 2_100);
});

test("gives up when the outage has lasted too long, and not before", () => {
  const { backoff: one, time } = backoff(1_000);
  assert.equal(one.next(), 100);
  time.now = 800;
  assert.equal(one.next(), 200);
  time.now = 801;
  assert.equal(one.next(), undefined);
});

test("starts anew after progress", () => {
  const { backoff: one, time } = backoff(1_000);
  one.next();
  time.now = 5_000;
  one.reset();
  assert.equal(one.next(), 100);
});
