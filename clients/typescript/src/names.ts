/** An enum of the contract as it is generated. */
type Enum = Record<string, string | number>;

/**
 * Names of an enum's values, without their prefix. A value that is newer than this client is
 * named by its number; the empty name means that none is set.
 */
export type Name<E> = Exclude<keyof E & string, "UNSPECIFIED"> | (string & {});

/** The name of a value. */
export function enumName<E extends Enum>(values: E, number: number): Name<E> {
  return number === 0 ? "" : String(values[number] ?? number);
}

/**
 * The value of a name.
 *
 * @throws RangeError - the enum has no such value.
 */
export function enumNumber<E extends Enum>(values: E, name: Name<E>): E[keyof E] & number {
  const number = values[name];
  if (typeof number !== "number") {
    const known = Object.keys(values).filter((one) => Number.isNaN(Number(one)) && values[one]);
    throw new RangeError(`${JSON.stringify(name)} is not one of ${known.join(", ")}`);
  }
  return number as E[keyof E] & number;
}

/** A generated name such as `stepStarted`, written as in the contract: `step_started`. */
export type Snake<Text extends string> = Text extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${Snake<Rest>}`
  : "";

/** The contract's name of a generated one. */
export function snake<Text extends string>(text: Text): Snake<Text> {
  return text.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) as Snake<Text>;
}
