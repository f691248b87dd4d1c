//! What a line asks for.

use std::time::Duration;

use interlock_client::{Error, Json};
use serde_json::{Map, Value};

/// The parameters of an operation, of a decision or of a tool.
pub struct Request<'a>(std::borrow::Cow<'a, Map<String, Value>>);

impl<'a> Request<'a> {
    /// Reads a line.
    pub fn new(line: &str) -> std::io::Result<Self> {
        Ok(Self(std::borrow::Cow::Owned(serde_json::from_str(line)?)))
    }

    /// A table of parameters inside of others; an empty one when there is none.
    pub fn inside(&'a self, name: &str) -> Self {
        self.0.get(name).map_or_else(|| Self(Default::default()), Self::of)
    }

    /// A list of tables of parameters.
    pub fn each(&'a self, name: &str) -> impl Iterator<Item = Self> {
        self.0.get(name).and_then(Value::as_array).into_iter().flatten().map(Self::of)
    }

    /// All parameters, by name.
    pub fn entries(&'a self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.0.iter()
    }

    pub fn of(value: &'a Value) -> Self {
        match value.as_object() {
            Some(map) => Self(std::borrow::Cow::Borrowed(map)),
            None => Self(Default::default()),
        }
    }

    pub fn id(&self) -> Value {
        self.0.get("id").cloned().unwrap_or_default()
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A text that must be there.
    pub fn required(&self, name: &str) -> Result<&str, Error> {
        self.text(name).ok_or_else(|| Error::Refused(format!("{name} is missing")))
    }

    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    pub fn seconds(&self, name: &str) -> Option<Duration> {
        self.0.get(name).and_then(Value::as_f64).map(Duration::from_secs_f64)
    }

    /// A value of a user, which travels as JSON text.
    pub fn value(&self, name: &str) -> Result<Value, Error> {
        Json::new(self.text(name).unwrap_or_default()).value()
    }

    pub fn table(&self, name: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.0.get(name).and_then(Value::as_object).into_iter().flatten()
    }
}
