//! What is charged by the character, second, image or pixel: speech, transcriptions, images, video.

use smallvec::SmallVec;

use super::component::Component;
use super::cost::{Bill, Sink};
use crate::usage::Word;

/// Sizes that have prices: an image is above one where its area exceeds the square of it.
const SIZES: [(i64, Component); 4] = [
    (4_096, Component::OutputImageAbove4096),
    (2_048, Component::OutputImageAbove2048),
    (1_024, Component::OutputImageAbove1024),
    (512, Component::OutputImageAbove512),
];

/// The prices of the qualities, in the order of their texts: low, medium, high, auto, premium, hd, standard.
const QUALITIES: [Component; 7] = [
    Component::OutputImageLow,
    Component::OutputImageMedium,
    Component::OutputImageHigh,
    Component::OutputImageAuto,
    Component::OutputImagePremium,
    Component::OutputImageHigh,
    Component::OutputImageMedium,
];

impl<S: Sink> Bill<'_, S> {
    pub(super) fn speech(&mut self) {
        use Component as C;
        let call = self.call;
        let (characters, prompt) = (call.get(Word::Characters), call.prompt);
        let (audio, seconds) = (call.get(Word::OutputAudioTokens), call.get(Word::OutputSeconds));
        let completion = call.completion;
        self.charge_either(&[(characters, &[C::InputCharacter]), (prompt, &[C::Input])]);
        self.charge_either(&[
            (audio, &[C::OutputAudio]),
            (seconds, &[C::OutputSecond]),
            (completion, &[C::Output]),
        ]);
    }

    pub(super) fn transcription(&mut self) {
        use Component as C;
        let call = self.call;
        let (prompt, audio) = (call.prompt, call.get(Word::InputAudioTokens));
        let seconds = call.get(Word::InputSeconds);
        if audio > 0 && self.first(&[C::InputAudio]).is_some() {
            self.charge(audio, &[C::InputAudio]);
            self.charge(prompt - audio, &[C::Input]);
        } else {
            self.charge_either(&[(prompt, &[C::Input]), (seconds, &[C::InputAudioSecond, C::InputSecond])]);
        }
        self.charge(self.call.completion, &[C::Output]);
    }

    pub(super) fn images(&mut self) {
        use Component as C;
        if self.call.prompt > 0 {
            self.prompt();
        } else {
            let (pixels, images) = (self.call.get(Word::InputPixels), self.call.get(Word::InputImages));
            self.charge_either(&[(pixels, &[C::InputPixel]), (images, &[C::InputImage])]);
        }
        let (completion, tokens) = (self.call.completion, self.call.get(Word::OutputImageTokens));
        if tokens > 0 && self.first(&[C::OutputImageToken]).is_some() {
            self.charge(tokens, &[C::OutputImageToken]);
            self.charge(completion - tokens, &[C::Output]);
        } else {
            let (images, pixels, chain) = self.made();
            self.charge_either(&[
                (pixels, &[C::OutputPixel]),
                (images, &chain),
                // Nobody says what the output was: it was images.
                (completion, &[C::OutputImageToken, C::Output]),
            ]);
        }
    }

    /// Images made, their pixels, and what an image of this quality and size may be charged as.
    fn made(&self) -> (i64, i64, SmallVec<[Component; 6]>) {
        let call = self.call;
        let sized = call.given(Word::ImageWidth) || call.given(Word::ImageHeight);
        // A size without a number of images is one image.
        let images = if call.given(Word::Images) { call.get(Word::Images) } else { i64::from(sized) };
        let area = call.get(Word::ImageWidth).saturating_mul(call.get(Word::ImageHeight));
        let mut chain = SmallVec::new();
        if call.given(Word::ImageQuality) {
            chain.push(QUALITIES[call.get(Word::ImageQuality) as usize]);
        }
        chain.extend(SIZES.iter().filter(|(side, _)| area > side * side).map(|(_, component)| *component));
        chain.push(Component::OutputImage);
        (images, area.saturating_mul(images), chain)
    }

    pub(super) fn video(&mut self) {
        use Component as C;
        self.charge(self.call.get(Word::InputSeconds), &[C::InputVideoSecond]);
        self.charge(self.call.get(Word::OutputSeconds), &[C::OutputVideoSecond, C::OutputSecond]);
    }
}

#[cfg(test)]
mod tests {
    use super::QUALITIES;
    use crate::usage::{Word, texts};

    #[test]
    fn every_quality_has_a_price_of_its_own_name() {
        assert_eq!(QUALITIES.len(), texts(Word::ImageQuality).len());
        for (component, text) in QUALITIES.iter().zip(texts(Word::ImageQuality)) {
            let named = match *text {
                "hd" => "high",
                "standard" => "medium",
                text => text,
            };
            assert!(component.as_str().contains(&format!("image_{named}_")), "{text}");
        }
    }
}
