//! JSON as text: the form in which every value of a user travels.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// A JSON value as the server sent it: exact text, read when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// A value of the contract, such as a field whose name ends in `_json`. The empty text stands
    /// for "absent".
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The exact text; empty when there is no value.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Whether there is no value. JSON's `null` is one.
    pub fn is_absent(self) -> bool {
        self.0.is_empty()
    }

    /// Reads the value as any type; an absent one as `null`.
    ///
    /// # Errors
    ///
    /// [`Error::Json`]: the value is not of this type.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, Error> {
        let text = if self.is_absent() { "null" } else { self.0 };
        Ok(serde_json::from_str(text)?)
    }

    /// Reads the value as it is; an absent one as `null`. No digit of a number is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Json`]: the text is not JSON, or nested deeper than 127 levels.
    pub fn value(self) -> Result<Value, Error> {
        self.parse()
    }

    /// The value for people: a string without its quotes, anything else as its text.
    pub fn to_plain_text(self) -> String {
        serde_json::from_str(self.0).unwrap_or_else(|_| self.0.to_owned())
    }
}

/// The exact text.
impl fmt::Display for Json<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.0)
    }
}

/// Writes a value as compact JSON text.
pub(crate) fn write(value: impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(&value)?)
}

/// Writes a value that may be left out: `null`, and so `()` and `None`, are left out.
pub(crate) fn write_optional(value: impl Serialize) -> Result<String, Error> {
    let text = write(value)?;
    Ok(if text == "null" { String::new() } else { text })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    const EXACT: &str =
        r#"{"big":9007199254740993,"huge":123456789012345678901234567890,"text":"é","tiny":780.0}"#;

    #[test]
    fn no_digit_is_lost_on_the_way_through_a_value() {
        let value = Json::new(EXACT).value().unwrap();
        assert_eq!(write(value).unwrap(), EXACT);
    }

    #[test]
    fn typed_values_are_exact_too() {
        let text = r#"{"a":9007199254740993,"b":170141183460469231731687303715884105727}"#;
        let typed: BTreeMap<String, i128> = Json::new(text).parse().unwrap();
        assert_eq!(typed["a"], 9_007_199_254_740_993);
        assert_eq!(typed["b"], i128::MAX);
        assert_eq!(write(typed).unwrap(), text);
    }

    #[test]
    fn nothing_and_null_are_told_apart() {
        assert!(Json::new("").is_absent());
        assert!(!Json::new("null").is_absent());
        assert_eq!(Json::new("").value().unwrap(), Value::Null);
        assert_eq!(Json::new("").parse::<Option<i64>>().unwrap(), None);
    }

    #[test]
    fn what_may_be_left_out_is() {
        assert_eq!(write_optional(()).unwrap(), "");
        assert_eq!(write_optional(None::<i64>).unwrap(), "");
        assert_eq!(write_optional(json!({"a": null})).unwrap(), r#"{"a":null}"#);
    }

    #[test]
    fn people_see_no_quotes() {
        assert_eq!(Json::new(r#""70 degrees""#).to_plain_text(), "70 degrees");
        assert_eq!(Json::new(r#"{"a":1}"#).to_plain_text(), r#"{"a":1}"#);
        assert_eq!(Json::new("").to_plain_text(), "");
    }

    #[test]
    fn another_type_is_an_error() {
        assert!(matches!(Json::new("1").parse::<String>(), Err(Error::Json(_))));
    }
}
