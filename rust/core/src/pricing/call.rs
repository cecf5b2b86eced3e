//! What a call used, as quantities that can be priced.

use super::component::Variant;
use crate::usage::{Usage, Word};

/// The usage words side by side, each at its number; zero where it was not given.
pub(super) struct Call {
    words: [i64; Word::ALL.len()],
    given: u32,
    /// Prompt tokens, at least those of its audio and images; all tokens where they were stated without a split.
    pub(super) prompt: i64,
    /// Completion tokens, at least those of its audio, images and reasoning.
    pub(super) completion: i64,
    /// Whether any token of the prompt may be one of the completion.
    pub(super) unsplit: bool,
    /// A bit for each variant that the call is.
    pub(super) ways: u8,
}

const _: () = assert!(Word::ALL.len() <= u32::BITS as usize);

impl Call {
    /// To be read where it is: moved, it would be copied.
    #[inline(always)]
    pub(super) fn new() -> Call {
        Call {
            words: [0; Word::ALL.len()],
            given: 0,
            prompt: 0,
            completion: 0,
            unsplit: false,
            ways: 1 << Variant::Plain as u8,
        }
    }

    #[inline(always)]
    pub(super) fn read(&mut self, usage: &Usage) {
        let call = self;
        // Collected here: behind the pointer it would be written and read back for every word.
        let mut given = 0;
        for (word, value) in usage.iter() {
            call.words[word as usize] = value;
            given |= 1 << word as u8;
        }
        call.given = given;
        call.prompt = call.get(Word::PromptTokens);
        call.completion = call.get(Word::CompletionTokens);
        call.unsplit = call.prompt == 0 && call.completion == 0 && call.get(Word::Tokens) > 0;
        if call.unsplit {
            call.prompt = call.get(Word::Tokens);
        }
        if call.any(KINDS_OF_INPUT) {
            let heard = call.get(Word::InputAudioTokens).saturating_add(call.get(Word::InputImageTokens));
            call.prompt = call.prompt.max(heard);
        }
        if call.any(KINDS_OF_OUTPUT) {
            let made = call.get(Word::OutputAudioTokens).saturating_add(call.get(Word::OutputImageTokens));
            call.completion = call.completion.max(made.saturating_add(call.get(Word::ReasoningTokens)));
        }
        if call.any(WAYS) {
            if call.get(Word::Batch) == 1 {
                call.ways |= 1 << Variant::Batch as u8;
            }
            if call.given(Word::ServiceTier) {
                call.ways |= way(call.get(Word::ServiceTier));
            }
        }
    }

    #[inline(always)]
    pub(super) fn get(&self, word: Word) -> i64 {
        self.words[word as usize]
    }

    #[inline(always)]
    pub(super) fn given(&self, word: Word) -> bool {
        self.given >> word as u8 & 1 == 1
    }

    /// Whether any of these words was given: most are not, and what they would change is passed over at once.
    #[inline(always)]
    pub(super) fn any(&self, words: Words) -> bool {
        self.given & words.0 != 0
    }
}

/// A bit for each of some words.
#[derive(Clone, Copy)]
pub(super) struct Words(u32);

impl Words {
    const fn of(words: &[Word]) -> Words {
        let (mut bits, mut at) = (0, 0);
        while at < words.len() {
            bits |= 1 << words[at] as u8;
            at += 1;
        }
        Words(bits)
    }
}

/// What a prompt has at least.
const KINDS_OF_INPUT: Words = Words::of(&[Word::InputAudioTokens, Word::InputImageTokens]);

/// What a completion has at least.
const KINDS_OF_OUTPUT: Words =
    Words::of(&[Word::OutputAudioTokens, Word::OutputImageTokens, Word::ReasoningTokens]);

/// What a completion may be charged for beside tokens of text.
pub(super) const MORE_THAN_TEXT: Words = Words::of(&[
    Word::InputAudioTokens,
    Word::InputImageTokens,
    Word::CachedReadImageTokens,
    Word::CachedReadAudioTokens,
    Word::CachedWriteAudioTokens,
    Word::OutputAudioTokens,
    Word::OutputImageTokens,
    Word::Searches,
    Word::Queries,
    Word::Sessions,
]);

const WAYS: Words = Words::of(&[Word::Batch, Word::ServiceTier]);

/// The bit of a service tier, which is a place in its list of texts; none for those that cost the plain price.
fn way(tier: i64) -> u8 {
    match tier {
        PRIORITY => 1 << Variant::Priority as u8,
        FLEX => 1 << Variant::Flex as u8,
        BATCH => 1 << Variant::Batch as u8,
        _ => 0,
    }
}

const PRIORITY: i64 = 4;
const FLEX: i64 = 5;
const BATCH: i64 = 7;

#[cfg(test)]
mod tests {
    use super::{BATCH, FLEX, PRIORITY};
    use crate::usage::{Word, texts};

    #[test]
    fn the_places_of_service_tiers_are_those_of_their_texts() {
        for (place, text) in [(PRIORITY, "priority"), (FLEX, "flex"), (BATCH, "batch")] {
            assert_eq!(texts(Word::ServiceTier).get(place as usize), Some(&text));
        }
    }
}
