//! One table of everything that can go wrong or be refused: variant, stable code, message.

use std::borrow::Cow;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        /// What went wrong, or why a request was refused. The text never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }

            /// What a person reads where nothing more precise is known.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Code::$name => $message,)* }
            }
        }
    };
}

codes! {
    /// A value that cannot be what it says.
    InvalidRequest = "invalid_request", "the request is not valid";
    /// No virtual key was given.
    VirtualKeyRequired = "virtual_key_required", "a virtual key is required";
    /// The virtual key is not known.
    VirtualKeyNotFound = "virtual_key_not_found", "the virtual key is not known";
    /// The virtual key is inactive or has expired.
    VirtualKeyBlocked = "virtual_key_blocked", "the virtual key is inactive or has expired";
    /// The key may not use this provider.
    ProviderBlocked = "provider_blocked", "the provider is not allowed for this virtual key";
    /// The key may not use this model.
    ModelBlocked = "model_blocked", "the model is not allowed for this virtual key";
    /// The key may not use this tool.
    McpToolBlocked = "mcp_tool_blocked", "the MCP tool is not allowed for this virtual key";
    /// A budget applies and the cost is not known.
    PriceUnknown = "price_unknown", "a budget applies and the cost of the request is not known: state cost_usd";
    /// A budget has no room.
    BudgetExceeded = "budget_exceeded", "a budget is exceeded";
    /// A token limit has no room.
    TokenLimited = "token_limited", "a token limit is reached";
    /// A request limit has no room.
    RequestLimited = "request_limited", "a request limit is reached";
    /// The token and the request limit of one rate limit have no room.
    RateLimited = "rate_limited", "a token limit and a request limit are reached";
    /// As many permits are open as may be.
    TooManyPermits = "too_many_permits", "too many permits are open: settle or release some";
    /// The permit is not known.
    PermitNotFound = "permit_not_found", "the permit is not known";
    /// The permit is closed.
    PermitClosed = "permit_closed", "the permit is closed";
    /// The permit was settled with other usage.
    SettleConflict = "settle_conflict", "the permit was settled with other usage";
    /// The idempotency id is being decided.
    IdInProgress = "id_in_progress", "a request with this id is being decided";
    /// The idempotency id belongs to another request.
    IdConflict = "id_conflict", "this id belongs to another request or to a closed permit";
    /// An entity is not known.
    NotFound = "not_found", "there is no such entity";
    /// The engine was made in the parent of this process.
    EngineForked = "engine_forked", "this engine belongs to the parent process: open one of your own after fork";
    /// The engine was closed.
    EngineClosed = "engine_closed", "the engine is closed";
}

/// Misuse: a call that cannot be answered. (A refusal is an answer: see `Denial`.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub code: Code,
    /// What a person should read.
    pub message: Cow<'static, str>,
    /// The argument at fault.
    pub param: Option<Cow<'static, str>>,
}

impl Fault {
    /// A fault with its table's message.
    #[must_use]
    pub fn new(code: Code) -> Fault {
        Fault { code, message: Cow::Borrowed(code.message()), param: None }
    }

    /// A value that is not valid, in the argument `param`.
    #[must_use]
    pub fn invalid(param: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault { code: Code::InvalidRequest, message: message.into(), param: Some(param.into()) }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.param {
            Some(param) => write!(f, "{}: {} ({param})", self.code.as_str(), self.message),
            None => write!(f, "{}: {}", self.code.as_str(), self.message),
        }
    }
}

impl std::error::Error for Fault {}
