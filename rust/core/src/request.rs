//! What a gateway asks: who calls, what for, and how much it may use.

use crate::error::Fault;
use crate::units::{Millis, NanoUsd};
use crate::usage::{Usage, Word};

/// The longest text of a model, provider, tool or id, in bytes.
pub const LONGEST_TEXT: usize = 4_096;

/// The longest idempotency id, in bytes.
pub const LONGEST_ID: usize = 128;

/// What the core does not have by itself.
pub trait World {
    /// The time as finely as it can be had; read before a refusal only.
    fn fine_now(&self) -> Millis;
    /// 64 random bits.
    fn draw(&self) -> u64;
    /// SHA-256 of a text.
    fn sha256(&self, text: &[u8]) -> [u8; 32];
}

macro_rules! request_types {
    ($($name:ident = $text:literal;)*) => {
        /// The kind of call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
        pub enum RequestType { #[default] $(#[doc = concat!("`", $text, "`")] $name,)* }

        impl RequestType {
            /// Every type, in the order of its number.
            pub(crate) const ALL: &'static [RequestType] = &[$(RequestType::$name,)*];

            /// The type of this name; the streaming variant of a type is the same type.
            #[must_use]
            pub fn from_text(text: &str) -> Option<RequestType> {
                match text.strip_suffix("_stream").unwrap_or(text) { $($text => Some(RequestType::$name),)* _ => None }
            }

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(RequestType::$name => $text,)* }
            }
        }
    };
}

request_types! {
    ChatCompletion = "chat_completion";
    TextCompletion = "text_completion";
    Responses = "responses";
    Embedding = "embedding";
    Rerank = "rerank";
    Speech = "speech";
    Transcription = "transcription";
    ImageGeneration = "image_generation";
    ImageVariation = "image_variation";
    ImageEdit = "image_edit";
    VideoGeneration = "video_generation";
    VideoRemix = "video_remix";
}

impl RequestType {
    /// Whether output tokens are guessed where no maximum is stated.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, RequestType::ChatCompletion | RequestType::TextCompletion | RequestType::Responses)
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    /// Nobody says.
    Nobody,
    /// A presented virtual key.
    Value(&'a str),
    /// A key resolved before.
    Handle(KeyHandle),
}

/// A virtual key resolved once: it follows later edits, and ends with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHandle {
    pub(crate) number: u32,
    pub(crate) serial: u64,
}

/// How much a request may use, in three parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Never cut.
    pub(crate) stated: i64,
    /// A stated maximum of output tokens: cut to what fits.
    pub(crate) most: Option<i64>,
    /// Output tokens that expected usage has stated already; `max_output_tokens` counts from there.
    pub(crate) expected: i64,
    /// Whether output is guessed.
    pub(crate) guess: bool,
    /// Stated money.
    pub(crate) cost: Option<NanoUsd>,
    /// A batch call: only provider keys that serve batches will do.
    pub(crate) batch: bool,
    /// The usage words that are expected, where any are.
    pub(crate) usage: Option<Box<Usage>>,
    /// In which words this was said: amounts that come to the same may have been given differently.
    pub(crate) wording: i64,
}

/// The amounts of a request as a caller gives them.
#[derive(Clone, Debug, Default)]
pub struct Amounts {
    /// Tokens of the input; None where not given.
    pub input_tokens: Option<i64>,
    /// The most output tokens.
    pub max_output_tokens: Option<i64>,
    /// Tokens in all.
    pub tokens: Option<i64>,
    /// The cost.
    pub cost: Option<NanoUsd>,
    /// Expected usage words.
    pub usage: Option<Usage>,
}

impl Asked {
    /// What is asked for, or why the amounts do not go together.
    ///
    /// # Errors
    /// `invalid_request` with the argument at fault.
    pub fn new(amounts: &Amounts, request_type: RequestType) -> Result<Asked, Fault> {
        for (param, value) in [
            ("input_tokens", amounts.input_tokens),
            ("max_output_tokens", amounts.max_output_tokens),
            ("tokens", amounts.tokens),
        ] {
            if value.is_some_and(|value| value < 0) {
                return Err(Fault::invalid(param, "must not be negative"));
            }
        }
        if amounts.tokens.is_some() && amounts.input_tokens.is_some_and(|tokens| tokens > 0) {
            return Err(Fault::invalid("tokens", "state either tokens or input_tokens, not both"));
        }
        if amounts.tokens.is_some() && amounts.max_output_tokens.is_some() {
            return Err(Fault::invalid(
                "max_output_tokens",
                "tokens states the output as well: leave max_output_tokens out",
            ));
        }
        let asked = match &amounts.usage {
            Some(usage) if !usage.is_empty() => Asked::expected(amounts, usage, request_type)?,
            _ => Asked {
                stated: amounts.tokens.or(amounts.input_tokens).unwrap_or(0),
                most: amounts.max_output_tokens,
                expected: 0,
                guess: amounts.tokens.is_none()
                    && amounts.max_output_tokens.is_none()
                    && request_type.is_text(),
                cost: amounts.cost,
                batch: false,
                usage: None,
                wording: i64::from(amounts.tokens.is_some()),
            },
        };
        if asked.stated.checked_add(asked.most.unwrap_or(0)).is_none() {
            return Err(Fault::invalid("max_output_tokens", "input and output together are too many tokens"));
        }
        Ok(asked)
    }

    /// What is stated, as usage words.
    pub(crate) fn with_usage<T>(&self, read: impl FnOnce(&Usage) -> T) -> T {
        if let Some(usage) = &self.usage {
            return read(usage);
        }
        let word = if self.wording == 0 { Word::PromptTokens } else { Word::Tokens };
        read(&Usage::of(word, self.stated))
    }

    fn expected(amounts: &Amounts, usage: &Usage, request_type: RequestType) -> Result<Asked, Fault> {
        for (param, given) in [
            ("input_tokens", amounts.input_tokens.is_some_and(|tokens| tokens > 0)),
            ("tokens", amounts.tokens.is_some()),
            ("cost_usd", amounts.cost.is_some()),
        ] {
            if given {
                return Err(Fault::invalid(
                    param,
                    "state the expected usage either here or in usage, not in both",
                ));
            }
        }
        if usage.get(Word::Tokens).is_some()
            && (usage.get(Word::PromptTokens).is_some() || usage.get(Word::CompletionTokens).is_some())
        {
            return Err(Fault::invalid(
                "usage.tokens",
                "state either tokens or prompt and completion tokens",
            ));
        }
        if usage.get(Word::Tokens).is_some() && amounts.max_output_tokens.is_some() {
            return Err(Fault::invalid(
                "max_output_tokens",
                "usage.tokens states the output as well: leave max_output_tokens out",
            ));
        }
        let expected = usage.get(Word::CompletionTokens).unwrap_or(0);
        Ok(Asked {
            stated: usage.tokens()?,
            most: amounts.max_output_tokens.map(|most| (most - expected).max(0)),
            expected,
            guess: amounts.max_output_tokens.is_none()
                && usage.get(Word::Tokens).is_none()
                && usage.get(Word::CompletionTokens).is_none()
                && request_type.is_text(),
            cost: usage.cost(),
            batch: usage.get(Word::Batch) == Some(1),
            usage: Some(Box::new(usage.clone())),
            // The maximum as well: what is left of it beside the expected output may be the same for two of them.
            wording: usage.digest() ^ amounts.max_output_tokens.unwrap_or(-1).rotate_left(32),
        })
    }
}

/// One question: may this call be made, and where?
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Who calls.
    pub caller: Caller<'a>,
    /// Empty where the choice is ours.
    pub provider: &'a str,
    /// None for a call of a tool alone.
    pub model: Option<&'a str>,
    /// The kind of call.
    pub request_type: RequestType,
    /// How much it may use.
    pub asked: Asked,
    /// `client/tool`.
    pub mcp_tool: Option<&'a str>,
    /// `provider/model`, tried in order where the target cannot serve. None where not given.
    pub fallbacks: Option<&'a [&'a str]>,
    /// Names and values, for rules; names in any case, of those that differ in nothing else the last one counts.
    pub headers: &'a [(&'a str, &'a str)],
    /// Likewise.
    pub params: &'a [(&'a str, &'a str)],
    /// Requests with the same text get the same target, as far as weights and limits allow.
    pub sticky: Option<&'a str>,
    /// Idempotency id.
    pub id: Option<&'a str>,
}

impl Request<'_> {
    /// Refuse what cannot be meant.
    ///
    /// # Errors
    /// `invalid_request` with the argument at fault.
    pub fn check(&self) -> Result<(), Fault> {
        let Some(model) = self.model else {
            return if self.mcp_tool.is_some() {
                self.check_texts()
            } else {
                Err(Fault::invalid("model", "is required where no mcp_tool is called"))
            };
        };
        name("model", model)?;
        self.check_texts()
    }

    fn check_texts(&self) -> Result<(), Fault> {
        if !self.provider.is_empty() {
            name("provider", self.provider)?;
        }
        if let Some(tool) = self.mcp_tool {
            name("mcp_tool", tool)?;
            match tool.split_once('/') {
                Some((client, tool)) if !client.is_empty() && !tool.is_empty() => {}
                _ => return Err(Fault::invalid("mcp_tool", "must be client/tool")),
            }
        }
        for (place, fallback) in self.fallbacks.unwrap_or(&[]).iter().enumerate() {
            let param = || format!("fallbacks[{place}]");
            name_at(param, fallback)?;
            match fallback.split_once('/') {
                Some((provider, _)) if !provider.is_empty() => {}
                _ => return Err(Fault::invalid(param(), "must be provider/model")),
            }
        }
        if let Some(sticky) = self.sticky {
            length(|| "sticky".into(), sticky)?;
        }
        if let Some(id) = self.id {
            name("id", id)?;
            if id.len() > LONGEST_ID {
                return Err(Fault::invalid("id", format!("is longer than {LONGEST_ID} bytes")));
            }
        }
        Ok(())
    }
}

fn length(param: impl Fn() -> String, text: &str) -> Result<(), Fault> {
    if text.len() > LONGEST_TEXT {
        return Err(Fault::invalid(param(), format!("is longer than {LONGEST_TEXT} bytes")));
    }
    Ok(())
}

fn name(param: &'static str, text: &str) -> Result<(), Fault> {
    name_at(|| param.into(), text)
}

fn name_at(param: impl Fn() -> String, text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::invalid(param(), "must not be empty"));
    }
    length(&param, text)?;
    if has_control(text.as_bytes()) {
        return Err(Fault::invalid(param(), "must not hold control characters"));
    }
    Ok(())
}

/// Whether a byte is below 0x20, or 0x7f: eight bytes at a time, and the last of them by a word that overlaps (names are
/// short, and every request has two). The tests for a byte below n and for a zero byte are those of Anderson, "Bit
/// Twiddling Hacks".
#[inline]
fn has_control(bytes: &[u8]) -> bool {
    const EACH: u64 = u64::MAX / 0xff;
    let control = |word: u64| {
        let below = word.wrapping_sub(EACH * 0x20) & !word;
        let apart = word ^ (EACH * 0x7f);
        (below | (apart.wrapping_sub(EACH) & !apart)) & (EACH * 0x80) != 0
    };
    if let Some(last) = bytes.last_chunk() {
        let (words, _) = bytes.as_chunks();
        return control(u64::from_le_bytes(*last))
            || words.iter().any(|word| control(u64::from_le_bytes(*word)));
    }
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            control(u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)))
        }
        _ => bytes.iter().any(|byte| *byte < 0x20 || *byte == 0x7f),
    }
}

#[cfg(test)]
mod tests {
    use super::has_control;

    #[test]
    fn a_control_character_is_found_wherever_it_stands_and_nothing_else_is() {
        for length in 0..24 {
            for place in 0..length {
                for byte in 0..=255_u8 {
                    for beside in [b' ', b'a', 0x80, 0xff] {
                        let mut bytes = vec![beside; length];
                        bytes[place] = byte;
                        assert_eq!(has_control(&bytes), byte < 0x20 || byte == 0x7f, "{bytes:?}");
                    }
                }
            }
        }
    }
}
