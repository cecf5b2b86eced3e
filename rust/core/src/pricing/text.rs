//! What is charged by the token: completions, embeddings, rankings.

use super::component::{Component, SEARCHES};
use super::cost::{Bill, Sink};
use crate::usage::Word;

impl<S: Sink> Bill<'_, S> {
    /// A completion that is text, as nearly all are: what was read from a cache or written to one is a part of the
    /// prompt, read first; reasoning is one of the completion. The same as `text` where the call has nothing else.
    #[inline(always)]
    pub(super) fn text_alone(&mut self) {
        use Component as C;
        let call = self.call;
        let read = call.get(Word::CachedReadTokens).min(call.prompt);
        let written = call.get(Word::CachedWriteTokens).min(call.prompt - read);
        let written_1h = call.get(Word::CachedWrite1hTokens).min(written);
        let reasoning = call.get(Word::ReasoningTokens);
        self.charge(call.prompt - read - written, &[C::Input]);
        self.charge(read, &[C::CacheRead, C::Input]);
        self.charge(written - written_1h, &[C::CacheWrite, C::Input]);
        self.charge(written_1h, &[C::CacheWrite1h, C::CacheWrite, C::Input]);
        self.charge(call.completion - reasoning, &[C::Output]);
        self.charge(reasoning, &[C::Reasoning, C::Output]);
    }

    pub(super) fn text(&mut self) {
        self.prompt();
        self.completion();
        self.searches();
        self.charge(self.call.get(Word::Queries), &[Component::Query]);
        self.charge(self.call.get(Word::Sessions), &[Component::Session]);
    }

    pub(super) fn embedding(&mut self) {
        self.charge(self.call.prompt, &[Component::Input]);
    }

    pub(super) fn rerank(&mut self) {
        self.charge(self.call.prompt, &[Component::Input]);
        self.charge(self.call.completion, &[Component::Output]);
        self.searches();
        self.charge(self.call.get(Word::Queries), &[Component::Query]);
    }

    /// The prompt in its parts. What was read from a cache or written to one is a part of it, read first; where
    /// nobody says of what kind it was, it was text, then images, then audio.
    pub(super) fn prompt(&mut self) {
        use Component as C;
        let call = self.call;
        let (mut audio, mut images) = (call.get(Word::InputAudioTokens), call.get(Word::InputImageTokens));
        // A prompt has at least the tokens of its parts: where the sum of them did not fit, it counts to the end.
        let mut text = call.prompt.saturating_sub(audio).saturating_sub(images).max(0);

        let mut read = call.get(Word::CachedReadTokens).min(call.prompt);
        let mut written = call.get(Word::CachedWriteTokens).min(call.prompt - read);
        let read_images = call.get(Word::CachedReadImageTokens).min(read).min(images);
        read -= read_images;
        images -= read_images;
        let read_audio = call.get(Word::CachedReadAudioTokens).min(read).min(audio);
        read -= read_audio;
        audio -= read_audio;
        let written_audio = call.get(Word::CachedWriteAudioTokens).min(written).min(audio);
        written -= written_audio;
        audio -= written_audio;
        let written_1h = call.get(Word::CachedWrite1hTokens).min(written);

        let mut rest = read + written;
        for kind in [&mut text, &mut images, &mut audio] {
            let taken = rest.min(*kind);
            *kind -= taken;
            rest -= taken;
        }

        self.charge(text, &[C::Input]);
        self.charge(images, &[C::InputImageToken, C::Input]);
        self.charge(audio, &[C::InputAudio, C::Input]);
        self.charge(read, &[C::CacheRead, C::Input]);
        self.charge(read_images, &[C::CacheReadImage, C::CacheRead, C::InputImageToken, C::Input]);
        self.charge(read_audio, &[C::CacheReadAudio, C::CacheRead, C::InputAudio, C::Input]);
        self.charge(written - written_1h, &[C::CacheWrite, C::Input]);
        self.charge(written_1h, &[C::CacheWrite1h, C::CacheWrite, C::Input]);
        self.charge(written_audio, &[C::CacheWriteAudio, C::CacheWrite, C::InputAudio, C::Input]);
    }

    fn completion(&mut self) {
        use Component as C;
        let call = self.call;
        let audio = call.get(Word::OutputAudioTokens);
        let images = call.get(Word::OutputImageTokens);
        let reasoning = call.get(Word::ReasoningTokens);
        let text = call.completion.saturating_sub(audio).saturating_sub(images).saturating_sub(reasoning);
        self.charge(text.max(0), &[C::Output]);
        self.charge(reasoning, &[C::Reasoning, C::Output]);
        self.charge(audio, &[C::OutputAudio, C::Output]);
        self.charge(images, &[C::OutputImageToken, C::Output]);
    }

    /// A search without its context is medium.
    fn searches(&mut self) {
        let searches = self.call.get(Word::Searches);
        if searches > 0 {
            let given = self.call.given(Word::SearchContext);
            let context = if given { self.call.get(Word::SearchContext) as usize } else { 1 };
            self.charge(searches, &SEARCHES[context..=context]);
        }
    }
}
