//! What has a price of its own, and how the fields of price files are named.
//!
//! `cache_creation_input_token_cost_above_1hr_above_200k_tokens_batches` is a component (tokens written to a cache
//! for an hour), a threshold (prompts above 200,000 tokens) and a variant (batch calls). Every component may have
//! every threshold and variant, whether anybody has such a price yet or not.

use std::fmt;

use crate::request::RequestType;

macro_rules! components {
    ($($name:ident = $text:literal;)*) => {
        /// What has a price of its own: a kind of token, second, image, pixel, search.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Component { $(#[doc = concat!("`", $text, "`")] $name,)* }

        impl Component {
            /// Every component.
            pub const ALL: &'static [Component] = &[$(Component::$name,)*];

            /// The field of its plain price.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Component::$name => $text,)* }
            }

            /// The components whose plain price a field says: one, or every context of a search.
            fn of_field(name: &str) -> Option<&'static [Component]> {
                match name {
                    $($text => Some(&[Component::$name]),)*
                    SEARCH => Some(SEARCHES),
                    _ => None,
                }
            }
        }
    };
}

// Their order is kept in stores: new ones come last.
components! {
    Input = "input_cost_per_token";
    Output = "output_cost_per_token";
    Reasoning = "output_cost_per_reasoning_token";
    CacheRead = "cache_read_input_token_cost";
    CacheReadImage = "cache_read_input_image_token_cost";
    CacheReadAudio = "cache_read_input_audio_token_cost";
    CacheWrite = "cache_creation_input_token_cost";
    CacheWrite1h = "cache_creation_input_token_cost_above_1hr";
    CacheWriteAudio = "cache_creation_input_audio_token_cost";
    InputAudio = "input_cost_per_audio_token";
    OutputAudio = "output_cost_per_audio_token";
    InputImageToken = "input_cost_per_image_token";
    OutputImageToken = "output_cost_per_image_token";
    InputCharacter = "input_cost_per_character";
    InputSecond = "input_cost_per_second";
    OutputSecond = "output_cost_per_second";
    InputAudioSecond = "input_cost_per_audio_per_second";
    InputVideoSecond = "input_cost_per_video_per_second";
    OutputVideoSecond = "output_cost_per_video_per_second";
    InputImage = "input_cost_per_image";
    InputPixel = "input_cost_per_pixel";
    OutputPixel = "output_cost_per_pixel";
    OutputImage = "output_cost_per_image";
    OutputImageLow = "output_cost_per_image_low_quality";
    OutputImageMedium = "output_cost_per_image_medium_quality";
    OutputImageHigh = "output_cost_per_image_high_quality";
    OutputImageAuto = "output_cost_per_image_auto_quality";
    OutputImagePremium = "output_cost_per_image_premium_image";
    OutputImageAbove512 = "output_cost_per_image_above_512_and_512_pixels";
    OutputImageAbove1024 = "output_cost_per_image_above_1024_and_1024_pixels";
    OutputImageAbove2048 = "output_cost_per_image_above_2048_and_2048_pixels";
    OutputImageAbove4096 = "output_cost_per_image_above_4096_and_4096_pixels";
    SearchLow = "search_context_cost_per_query.search_context_size_low";
    SearchMedium = "search_context_cost_per_query.search_context_size_medium";
    SearchHigh = "search_context_cost_per_query.search_context_size_high";
    Query = "input_cost_per_query";
    Session = "code_interpreter_cost_per_session";
}

/// One price for a search, whatever its context.
const SEARCH: &str = "search_context_cost_per_query";
pub(super) const SEARCHES: &[Component] =
    &[Component::SearchLow, Component::SearchMedium, Component::SearchHigh];

impl Component {
    /// Whether its quantity is seconds, kept in millionths.
    #[inline(always)]
    pub(super) const fn in_seconds(self) -> bool {
        matches!(
            self,
            Component::InputSecond
                | Component::OutputSecond
                | Component::InputAudioSecond
                | Component::InputVideoSecond
                | Component::OutputVideoSecond
        )
    }
}

/// How a call is made, where that has prices of its own. In the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Variant {
    /// A batch call, whatever its service tier.
    Batch,
    /// The service tier `priority`.
    Priority,
    /// The service tier `flex`.
    Flex,
    /// Any call.
    Plain,
}

impl Variant {
    pub(super) const ALL: [Variant; 4] = [Variant::Batch, Variant::Priority, Variant::Flex, Variant::Plain];

    /// The end of the field's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Variant::Batch => "_batches",
            Variant::Priority => "_priority",
            Variant::Flex => "_flex",
            Variant::Plain => "",
        }
    }
}

/// The threshold of a price for prompts of any length: below an empty prompt.
pub const ANY_PROMPT: i64 = -1;

/// The place of one price: for calls whose prompt has more than `threshold` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// What is priced.
    pub component: Component,
    /// [`ANY_PROMPT`], or a number of prompt tokens.
    pub threshold: i64,
    /// How the call is made.
    pub variant: Variant,
}

impl Cell {
    /// Of the price for any call.
    #[inline(always)]
    pub(super) const fn plain(component: Component) -> Cell {
        Cell { component, threshold: ANY_PROMPT, variant: Variant::Plain }
    }

    /// As numbers, for a store.
    pub(crate) fn numbers(self) -> [i64; 3] {
        [self.component as i64, self.threshold, self.variant as i64]
    }

    /// From the numbers of a store.
    pub(crate) fn of_numbers([component, threshold, variant]: [i64; 3]) -> Option<Cell> {
        Some(Cell {
            component: *Component::ALL.get(usize::try_from(component).ok()?)?,
            threshold,
            variant: *Variant::ALL.get(usize::try_from(variant).ok()?)?,
        })
    }

    /// The cells that a field of a price file writes to; none where the name is not a price's.
    pub fn of_field(name: &str) -> Option<impl Iterator<Item = Cell> + use<>> {
        let (rest, variant) = Variant::ALL
            .into_iter()
            .find_map(|variant| Some((name.strip_suffix(variant.suffix())?, variant)))?;
        let (base, threshold) = match Component::of_field(rest) {
            Some(_) => (rest, ANY_PROMPT),
            None => {
                let (base, threshold) = rest.strip_suffix("_tokens")?.rsplit_once("_above_")?;
                (base, tokens(threshold)?)
            }
        };
        let components = Component::of_field(base)?;
        Some(components.iter().map(move |&component| Cell { component, threshold, variant }))
    }
}

/// `200k`, `1m` or `512` as a number of tokens.
fn tokens(text: &str) -> Option<i64> {
    let (digits, scale) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1_000),
        b'm' => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse::<i64>().ok()?.checked_mul(scale)).flatten()
}

/// The field's name.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.component.as_str())?;
        write_tier(f, self.threshold, self.variant)
    }
}

/// The end of a field's name, which says the tier: `_above_200k_tokens_batches`.
pub(super) fn write_tier(out: &mut impl fmt::Write, threshold: i64, variant: Variant) -> fmt::Result {
    if threshold > 0 && threshold % 1_000 == 0 {
        write!(out, "_above_{}k_tokens", threshold / 1_000)?;
    } else if threshold != ANY_PROMPT {
        write!(out, "_above_{threshold}_tokens")?;
    }
    out.write_str(variant.suffix())
}

/// Whether a field of a price file that says no price we know may say something about what a call costs: a table of
/// prices, a price by time of day, a surcharge. What else files say (context windows, what a model can do) does not.
#[must_use]
pub fn is_about_prices(field: &str) -> bool {
    ["cost", "price", "pricing", "multiplier", "provider_specific_entry"]
        .iter()
        .any(|word| field.contains(word))
}

/// The type of request that a price file's `mode` means; where it says none, a chat completion.
#[must_use]
pub fn type_of_mode(mode: Option<&str>) -> Option<RequestType> {
    match mode.unwrap_or("chat") {
        "chat" => Some(RequestType::ChatCompletion),
        "completion" => Some(RequestType::TextCompletion),
        "audio_speech" => Some(RequestType::Speech),
        "audio_transcription" => Some(RequestType::Transcription),
        other => RequestType::from_text(other),
    }
}
