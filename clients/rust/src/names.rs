//! Enums of the contract as a client meets them: with values that it does not know.

use std::fmt;

/// Makes an enum that keeps the numbers of values that are newer than this client.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $number:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$value_doc])* $value,)+
            /// A value that is newer than this client, by its number.
            Unknown(i32),
        }

        impl $name {
            /// The value with a name of the contract, without its prefix and in capitals.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$value),)+
                    _ => None,
                }
            }
        }

        impl From<i32> for $name {
            fn from(number: i32) -> Self {
                match number {
                    $($number => Self::$value,)+
                    newer => Self::Unknown(newer),
                }
            }
        }

        impl From<$name> for i32 {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$value => $number,)+
                    $name::Unknown(newer) => newer,
                }
            }
        }

        /// The name in the contract without its prefix, empty when it is not set; the number of
        /// a value that is newer than this client.
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$value => formatter.pad($text),)+
                    Self::Unknown(newer) => newer.fmt(formatter),
                }
            }
        }
    };
}

/// Gives the cases of a oneof their names in the contract.
macro_rules! oneof_names {
    ($module:ident::$oneof:ident { $($case:ident $text:literal;)+ }) => {
        impl crate::v1::$module::$oneof {
            /// Name of the field in the contract.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$case(_) => $text,)+
                }
            }
        }
    };
}

include!("generated/names.rs");
