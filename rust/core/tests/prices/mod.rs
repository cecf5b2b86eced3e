//! What a call costs, said once more and differently: prices are looked up by the text of their fields, quantities in
//! a map by name, every product is made at once in 10^-21 dollars. Slow, and close to the words of the rules.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Prices = BTreeMap<String, i128>;
pub(crate) type Usage = BTreeMap<&'static str, i64>;

/// The sum in 10^-21 dollars, and the field that it lacks first.
pub(crate) type Cost = (i128, Option<String>);

struct Asking<'a> {
    prices: &'a Prices,
    usage: &'a Usage,
    prompt: i64,
    sum: i128,
    lacks: Option<String>,
}

/// How the call is made, as the ends of field names, in the order of looking. Tier and quality are texts elsewhere;
/// here they are named as words of their own: `priority`, `quality_hd`.
fn suffixes(usage: &Usage) -> Vec<&'static str> {
    let mut found = Vec::new();
    if usage.contains_key("batch") {
        found.push("_batches");
    }
    if usage.contains_key("priority") {
        found.push("_priority");
    }
    if usage.contains_key("flex") {
        found.push("_flex");
    }
    found.push("");
    found
}

impl Asking<'_> {
    fn of(&self, word: &str) -> i64 {
        self.usage.get(word).copied().unwrap_or(0)
    }

    /// The price of a kind: tier with suffix, tier, suffix, plain.
    fn price(&self, kind: &str) -> Option<i128> {
        let mut tiers = BTreeSet::new();
        for field in self.prices.keys() {
            if let Some(rest) = field.strip_prefix(&format!("{kind}_above_"))
                && let Some((size, _)) = rest.split_once("k_tokens")
                && let Ok(size) = size.parse::<i64>()
                && size * 1_000 < self.prompt
            {
                tiers.insert(size);
            }
        }
        let names =
            tiers.iter().rev().map(|size| format!("{kind}_above_{size}k_tokens")).chain([kind.into()]);
        for name in names {
            for suffix in suffixes(self.usage) {
                if let Some(price) = self.prices.get(&format!("{name}{suffix}")) {
                    return Some(*price);
                }
            }
        }
        None
    }

    /// The price of an input token; of one that may be output too, the dearer.
    fn input(&self) -> Option<i128> {
        let input = self.price("input_cost_per_token");
        if self.of("prompt_tokens") == 0 && self.of("completion_tokens") == 0 && self.of("tokens") > 0 {
            return input.max(self.price("output_cost_per_token"));
        }
        input
    }

    fn pay(&mut self, quantity: i64, price: Option<i128>, field: &str) {
        if quantity > 0 {
            match price {
                Some(price) => self.sum += i128::from(quantity) * price * 1_000_000,
                None => self.lacks = self.lacks.take().or(Some(field.into())),
            }
        }
    }

    fn pay_seconds(&mut self, micro: i64, price: Option<i128>, field: &str) {
        if micro > 0 {
            match price {
                Some(price) => self.sum += i128::from(micro) * price,
                None => self.lacks = self.lacks.take().or(Some(field.into())),
            }
        }
    }

    fn prompt(&mut self) {
        let input = self.input();
        let total = self.prompt;
        let (audio, image) = (self.of("input_audio_tokens"), self.of("input_image_tokens"));
        let read = self.of("cached_read_tokens").min(total);
        let write = self.of("cached_write_tokens").min(total - read);
        let image_read = self.of("cached_read_image_tokens").min(read).min(image);
        let audio_read = self.of("cached_read_audio_tokens").min(read - image_read).min(audio);
        let audio_write = self.of("cached_write_audio_tokens").min(write).min(audio - audio_read);
        let hour = self.of("cached_write_1h_tokens").min(write - audio_write);

        // Kinds of the cached tokens of which nobody says it: laid end to end over text, images, audio.
        let apart = image_read + audio_read + audio_write;
        let cached = read + write - apart;
        let text = total - audio - image;
        let (image, audio) = (image - image_read, audio - audio_read - audio_write);
        let text_left = (text - cached).max(0);
        let image_left = image.min((text + image - cached).max(0));
        let audio_left = audio.min((text + image + audio - cached).max(0));

        let image_price = self.price("input_cost_per_image_token").or(input);
        let audio_price = self.price("input_cost_per_audio_token").or(input);
        let read_price = self.price("cache_read_input_token_cost");
        let write_price = self.price("cache_creation_input_token_cost");
        let field = "input_cost_per_token";
        self.pay(text_left, input, field);
        self.pay(image_left, image_price, field);
        self.pay(audio_left, audio_price, field);
        self.pay(read - image_read - audio_read, read_price.or(input), field);
        let price = self.price("cache_read_input_image_token_cost").or(read_price).or(image_price);
        self.pay(image_read, price, field);
        let price = self.price("cache_read_input_audio_token_cost").or(read_price).or(audio_price);
        self.pay(audio_read, price, field);
        self.pay(write - audio_write - hour, write_price.or(input), field);
        let price = self.price("cache_creation_input_token_cost_above_1hr").or(write_price).or(input);
        self.pay(hour, price, field);
        let price = self.price("cache_creation_input_audio_token_cost").or(write_price).or(audio_price);
        self.pay(audio_write, price, field);
    }

    fn completion_total(&self) -> i64 {
        let parts = ["output_audio_tokens", "output_image_tokens", "reasoning_tokens"];
        self.of("completion_tokens").max(parts.iter().map(|part| self.of(part)).sum())
    }

    fn completion(&mut self) {
        let output = self.price("output_cost_per_token");
        let mut rest = self.completion_total();
        for (word, field) in [
            ("reasoning_tokens", "output_cost_per_reasoning_token"),
            ("output_audio_tokens", "output_cost_per_audio_token"),
            ("output_image_tokens", "output_cost_per_image_token"),
        ] {
            let part = self.of(word);
            self.pay(part, self.price(field).or(output), "output_cost_per_token");
            rest -= part;
        }
        self.pay(rest, output, "output_cost_per_token");
    }

    fn searches(&mut self) {
        let context =
            ["low", "high"].into_iter().find(|word| self.usage.contains_key(*word)).unwrap_or("medium");
        let field = format!("search_context_cost_per_query.search_context_size_{context}");
        self.pay(self.of("searches"), self.price(&field), &field);
        self.pay(self.of("queries"), self.price("input_cost_per_query"), "input_cost_per_query");
    }

    fn speech(&mut self) {
        let (characters, prompt, input) = (self.of("characters"), self.prompt, self.input());
        match self.price("input_cost_per_character") {
            Some(price) if characters > 0 => self.pay(characters, Some(price), ""),
            _ if prompt > 0 && input.is_some() => self.pay(prompt, input, ""),
            _ if characters > 0 => self.pay(characters, None, "input_cost_per_character"),
            _ => self.pay(prompt, input, "input_cost_per_token"),
        }
        let (audio, seconds) = (self.of("output_audio_tokens"), self.of("output_seconds"));
        let per_audio = self.price("output_cost_per_audio_token");
        let per_second = self.price("output_cost_per_second");
        let output = self.price("output_cost_per_token");
        if audio > 0 && per_audio.is_some() {
            self.pay(audio, per_audio, "");
        } else if seconds > 0 && per_second.is_some() {
            self.pay_seconds(seconds, per_second, "");
        } else if audio > 0 && output.is_none() {
            self.pay(audio, None, "output_cost_per_audio_token");
        } else if seconds > 0 && output.is_none() {
            self.pay(seconds, None, "output_cost_per_second");
        } else if self.completion_total() > 0 || seconds == 0 {
            self.pay(self.completion_total(), output, "output_cost_per_token");
        } else {
            self.pay(seconds, None, "output_cost_per_second");
        }
    }

    fn transcription(&mut self) {
        let (audio, seconds, input) = (self.of("input_audio_tokens"), self.of("input_seconds"), self.input());
        let of_seconds =
            self.price("input_cost_per_audio_per_second").or(self.price("input_cost_per_second"));
        match self.price("input_cost_per_audio_token") {
            Some(price) if audio > 0 => {
                self.pay(audio, Some(price), "");
                self.pay(self.prompt - audio, input, "input_cost_per_token");
            }
            _ if self.prompt > 0 && (input.is_some() || seconds == 0 || of_seconds.is_none()) => {
                self.pay(self.prompt, input, "input_cost_per_token");
            }
            _ => self.pay_seconds(seconds, of_seconds, "input_cost_per_second"),
        }
        self.pay(self.completion_total(), self.price("output_cost_per_token"), "output_cost_per_token");
    }

    fn images(&mut self) {
        let per_pixel = self.price("input_cost_per_pixel");
        let (pixels, images) = (self.of("input_pixels"), self.of("input_images"));
        let per_image = self.price("input_cost_per_image");
        if self.prompt > 0 {
            self.prompt();
        } else if pixels > 0 && (per_pixel.is_some() || images == 0 || per_image.is_none()) {
            self.pay(pixels, per_pixel, "input_cost_per_pixel");
        } else {
            self.pay(images, per_image, "input_cost_per_image");
        }

        let (tokens, total) = (self.of("output_image_tokens"), self.completion_total());
        let per_token = self.price("output_cost_per_image_token");
        let output = self.price("output_cost_per_token");
        if tokens > 0 && per_token.is_some() {
            self.pay(tokens, per_token, "");
            return self.pay(total - tokens, output, "output_cost_per_token");
        }
        let sized = self.usage.contains_key("image_width") || self.usage.contains_key("image_height");
        let images = self.usage.get("images").copied().unwrap_or(i64::from(sized));
        let area = self.of("image_width") * self.of("image_height");
        let per_pixel = self.price("output_cost_per_pixel");
        if area * images > 0 && per_pixel.is_some() {
            return self.pay(area * images, per_pixel, "");
        }
        let mut per_image = None;
        for (word, quality) in [
            ("quality_low", "low_quality"),
            ("quality_medium", "medium_quality"),
            ("quality_standard", "medium_quality"),
            ("quality_high", "high_quality"),
            ("quality_hd", "high_quality"),
            ("quality_auto", "auto_quality"),
            ("quality_premium", "premium_image"),
        ] {
            if self.usage.contains_key(word) {
                per_image = self.price(&format!("output_cost_per_image_{quality}"));
            }
        }
        for side in [4_096, 2_048, 1_024, 512] {
            if area > side * side && per_image.is_none() {
                per_image = self.price(&format!("output_cost_per_image_above_{side}_and_{side}_pixels"));
            }
        }
        per_image = per_image.or(self.price("output_cost_per_image"));
        if images > 0 && per_image.is_some() {
            return self.pay(images, per_image, "");
        }
        let field = if area * images > 0 {
            "output_cost_per_pixel"
        } else if images > 0 {
            "output_cost_per_image"
        } else {
            "output_cost_per_token"
        };
        let lacking = if images > 0 { images } else { total };
        match per_token.or(output) {
            Some(price) if total > 0 => self.pay(total, Some(price), ""),
            _ => self.pay(lacking, None, field),
        }
    }

    fn video(&mut self) {
        let field = "input_cost_per_video_per_second";
        self.pay_seconds(self.of("input_seconds"), self.price(field), field);
        let price = self.price("output_cost_per_video_per_second").or(self.price("output_cost_per_second"));
        self.pay_seconds(self.of("output_seconds"), price, "output_cost_per_second");
    }
}

/// What a call costs.
pub(crate) fn cost(prices: &Prices, usage: &Usage, request_type: &str) -> Cost {
    let of = |word| usage.get(word).copied().unwrap_or(0);
    let mut prompt = of("prompt_tokens");
    if prompt == 0 && of("completion_tokens") == 0 {
        prompt = of("tokens");
    }
    let prompt = prompt.max(of("input_audio_tokens") + of("input_image_tokens"));
    let mut asking = Asking { prices, usage, prompt, sum: 0, lacks: None };
    match request_type {
        "chat_completion" | "text_completion" | "responses" => {
            asking.prompt();
            asking.completion();
            asking.searches();
            let field = "code_interpreter_cost_per_session";
            asking.pay(of("sessions"), asking.price(field), field);
        }
        "embedding" => asking.pay(prompt, asking.input(), "input_cost_per_token"),
        "rerank" => {
            asking.pay(prompt, asking.input(), "input_cost_per_token");
            let output = asking.price("output_cost_per_token");
            asking.pay(asking.completion_total(), output, "output_cost_per_token");
            asking.searches();
        }
        "speech" => asking.speech(),
        "transcription" => asking.transcription(),
        "image_generation" | "image_variation" | "image_edit" => asking.images(),
        "video_generation" | "video_remix" => asking.video(),
        other => panic!("no such type: {other}"),
    }
    (asking.sum, asking.lacks)
}
