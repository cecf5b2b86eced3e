//! Usage words: what a call used, or is expected to use, as providers report it.

use smallvec::SmallVec;

use crate::error::Fault;
use crate::units::NanoUsd;

macro_rules! words {
    ($($name:ident = $text:literal, $form:ident;)*) => {
        /// One usage word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Word { $(#[doc = concat!("`", $text, "`")] $name,)* }

        impl Word {
            /// Every word.
            pub const ALL: &'static [Word] = &[$(Word::$name,)*];

            /// Its text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Word::$name => $text,)* }
            }

            /// The form of its value.
            #[must_use]
            pub const fn form(self) -> Form {
                match self { $(Word::$name => Form::$form,)* }
            }

            /// The word with this text.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Word> {
                match text { $($text => Some(Word::$name),)* _ => None }
            }
        }
    };
}

/// The form that a word's value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole number, zero or more.
    Count,
    /// Seconds, to six decimals; kept in millionths.
    Seconds,
    /// Dollars.
    Dollars,
    /// True or false.
    Flag,
    /// One of a few texts: see [`texts`].
    Text,
}

words! {
    PromptTokens = "prompt_tokens", Count;
    CompletionTokens = "completion_tokens", Count;
    CachedReadTokens = "cached_read_tokens", Count;
    CachedWriteTokens = "cached_write_tokens", Count;
    CachedWrite1hTokens = "cached_write_1h_tokens", Count;
    ReasoningTokens = "reasoning_tokens", Count;
    InputAudioTokens = "input_audio_tokens", Count;
    OutputAudioTokens = "output_audio_tokens", Count;
    InputImageTokens = "input_image_tokens", Count;
    OutputImageTokens = "output_image_tokens", Count;
    CachedReadImageTokens = "cached_read_image_tokens", Count;
    CachedReadAudioTokens = "cached_read_audio_tokens", Count;
    CachedWriteAudioTokens = "cached_write_audio_tokens", Count;
    Characters = "characters", Count;
    InputSeconds = "input_seconds", Seconds;
    OutputSeconds = "output_seconds", Seconds;
    Images = "images", Count;
    ImageWidth = "image_width", Count;
    ImageHeight = "image_height", Count;
    ImageQuality = "image_quality", Text;
    InputImages = "input_images", Count;
    InputPixels = "input_pixels", Count;
    Searches = "searches", Count;
    Queries = "queries", Count;
    SearchContext = "search_context", Text;
    Sessions = "sessions", Count;
    ServiceTier = "service_tier", Text;
    Batch = "batch", Flag;
    ReportedCostUsd = "reported_cost_usd", Dollars;
    Tokens = "tokens", Count;
    CostUsd = "cost_usd", Dollars;
}

/// The texts that a word of the form [`Form::Text`] may have. A value is kept as the place in this list.
#[must_use]
pub const fn texts(word: Word) -> &'static [&'static str] {
    match word {
        Word::ImageQuality => &["low", "medium", "high", "auto", "premium", "hd", "standard"],
        Word::SearchContext => &["low", "medium", "high"],
        Word::ServiceTier => {
            &["default", "auto", "standard", "standard_only", "priority", "flex", "scale", "batch"]
        }
        _ => &[],
    }
}

/// The words that were given, with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage(SmallVec<[(Word, i64); 6]>);

impl Usage {
    /// One count by itself; nothing where it is zero.
    pub(crate) fn of(word: Word, count: i64) -> Usage {
        let mut usage = Usage::default();
        if count > 0 {
            usage.0.push((word, count));
        }
        usage
    }

    /// Give one word. A word that was given before has the later value.
    pub fn set(&mut self, word: Word, value: i64) -> Result<(), Fault> {
        if value < 0 {
            return Err(Fault::invalid(word.as_str(), "must not be negative"));
        }
        match self.0.iter_mut().find(|(given, _)| *given == word) {
            Some(entry) => entry.1 = value,
            None => self.0.push((word, value)),
        }
        Ok(())
    }

    /// The value of a word, if it was given.
    #[inline]
    #[must_use]
    pub fn get(&self, word: Word) -> Option<i64> {
        self.0.iter().find(|(given, _)| *given == word).map(|(_, value)| *value)
    }

    /// Whether no word was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any word says an amount; how a call was made (batch, tier, quality) says none.
    #[must_use]
    pub fn says_how_much(&self) -> bool {
        self.0.iter().any(|(word, _)| !matches!(word.form(), Form::Flag | Form::Text))
    }

    /// Whether any word says a quantity, which a price can be multiplied by.
    pub(crate) fn says_quantity(&self) -> bool {
        self.0.iter().any(|(word, _)| matches!(word.form(), Form::Count | Form::Seconds))
    }

    /// Every word given, with its value.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Word, i64)> {
        self.0.iter().copied()
    }

    /// The first word given.
    pub(crate) fn first(&self) -> Option<Word> {
        self.0.first().map(|(word, _)| *word)
    }

    /// Whether any word says how many tokens.
    pub(crate) fn says_tokens(&self) -> bool {
        [Word::Tokens, Word::PromptTokens, Word::CompletionTokens]
            .iter()
            .any(|word| self.get(*word).is_some())
    }

    /// Tokens in all: as stated, or prompt and completion together.
    pub(crate) fn tokens(&self) -> Result<i64, Fault> {
        if let Some(tokens) = self.get(Word::Tokens) {
            return Ok(tokens);
        }
        let prompt = self.get(Word::PromptTokens).unwrap_or(0);
        let completion = self.get(Word::CompletionTokens).unwrap_or(0);
        prompt.checked_add(completion).ok_or_else(|| {
            Fault::invalid("completion_tokens", "prompt and completion together are too many tokens")
        })
    }

    pub(crate) fn cost(&self) -> Option<NanoUsd> {
        self.get(Word::CostUsd).map(NanoUsd::new)
    }

    pub(crate) fn reported_cost(&self) -> Option<NanoUsd> {
        self.get(Word::ReportedCostUsd).map(NanoUsd::new)
    }

    /// One number for the whole usage, to know the same usage again. The order of the words makes no difference.
    pub(crate) fn digest(&self) -> i64 {
        let mut sum: u64 = 0;
        for (word, value) in &self.0 {
            // Two whole words, as the hash reads them: narrower writes would have to reach memory first.
            let bytes = (u128::from(*word as u8) << 64 | u128::from(*value as u64)).to_le_bytes();
            sum = sum.wrapping_add(rapidhash::v3::rapidhash_v3_inline::<true, false, true>(
                &bytes,
                &rapidhash::v3::DEFAULT_RAPID_SECRETS,
            ));
        }
        sum as i64
    }
}

#[cfg(test)]
mod tests {
    use super::{Usage, Word};

    #[test]
    fn every_word_is_found_by_its_text() {
        for word in Word::ALL {
            assert_eq!(Word::from_text(word.as_str()), Some(*word));
        }
        assert_eq!(Word::from_text("promt_tokens"), None);
    }

    #[test]
    fn the_order_of_the_words_makes_no_difference() {
        let mut one = Usage::default();
        let mut other = Usage::default();
        one.set(Word::PromptTokens, 3).expect("valid");
        one.set(Word::CompletionTokens, 4).expect("valid");
        other.set(Word::CompletionTokens, 4).expect("valid");
        other.set(Word::PromptTokens, 3).expect("valid");
        assert_eq!(one.digest(), other.digest());
        other.set(Word::CompletionTokens, 3).expect("valid");
        assert_ne!(one.digest(), other.digest());
    }
}
