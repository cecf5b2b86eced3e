//! What an expression may name: the variables, and the types of values.

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Truth,
    Int,
    Double,
    Text,
    Map(Map),
}

impl Type {
    /// In CEL's words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Type::Truth => "bool",
            Type::Int => "int",
            Type::Double => "double",
            Type::Text => "string",
            Type::Map(_) => "map",
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Type::Int | Type::Double)
    }
}

macro_rules! variables {
    ($(#[$doc:meta])* $of:ident: $($name:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $of { $(#[doc = concat!("`", $text, "`")] $name,)* }

        impl $of {
            /// Every one.
            pub const ALL: &'static [$of] = &[$($of::$name,)*];

            /// Its name in an expression.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($of::$name => $text,)* }
            }

            pub(super) fn find(name: &str) -> Option<$of> {
                $of::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

variables! {
    /// A variable that is a text; "" where the request or its key has no such thing.
    Text:
    Model = "model",
    Provider = "provider",
    RequestType = "request_type",
    VirtualKeyId = "virtual_key_id",
    VirtualKeyName = "virtual_key_name",
    TeamId = "team_id",
    TeamName = "team_name",
    CustomerId = "customer_id",
    CustomerName = "customer_name",
}

variables! {
    /// A variable that maps texts to texts; its keys are in lower case.
    Map:
    Headers = "headers",
    Params = "params",
}

variables! {
    /// A variable that is a percentage of a limit: of what is used and held, the highest over all holders.
    Percent:
    Budget = "budget_used",
    Tokens = "tokens_used",
    Requests = "request",
}

/// What an expression is asked about. Only what it reads is asked for, and only when it is read.
pub trait Facts {
    /// The value of a text variable.
    fn text(&self, name: Text) -> &str;
    /// The entry of a map.
    fn entry(&self, map: Map, key: &str) -> Option<&str>;
    /// How many entries a map has.
    fn entries(&self, map: Map) -> usize;
    /// The value of a percentage.
    fn percent(&self, percent: Percent) -> f64;
}
