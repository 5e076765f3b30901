//! The closed lists of the format, as the WordNet manual pages `lexnames(5WN)` and `wninput(5WN)` give them.

/// A part of speech with files of its own; satellite adjectives live in the adjective file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pos {
    Noun,
    Verb,
    Adjective,
    Adverb,
}

impl Pos {
    /// In the order in which the files are read.
    pub(crate) const ALL: [Self; 4] = [Self::Noun, Self::Verb, Self::Adjective, Self::Adverb];

    /// What stands behind `data.` and `index.` in a file name.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Noun => "noun",
            Self::Verb => "verb",
            Self::Adjective => "adj",
            Self::Adverb => "adv",
        }
    }

    /// The letter in souls: offsets are unique within one file only.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Noun => 'n',
            Self::Verb => 'v',
            Self::Adjective => 'a',
            Self::Adverb => 'r',
        }
    }

    /// From the letter of a pointer or an index line.
    pub(crate) fn from_letter(text: &str) -> Option<Self> {
        match text {
            "n" => Some(Self::Noun),
            "v" => Some(Self::Verb),
            "a" | "s" => Some(Self::Adjective),
            "r" => Some(Self::Adverb),
            _ => None,
        }
    }
}

/// The name of a lexicographer file, by its number.
pub(crate) fn lexfile(number: usize) -> Option<&'static str> {
    const NAMES: [&str; 45] = [
        "adj.all",
        "adj.pert",
        "adv.all",
        "noun.Tops",
        "noun.act",
        "noun.animal",
        "noun.artifact",
        "noun.attribute",
        "noun.body",
        "noun.cognition",
        "noun.communication",
        "noun.event",
        "noun.feeling",
        "noun.food",
        "noun.group",
        "noun.location",
        "noun.motive",
        "noun.object",
        "noun.person",
        "noun.phenomenon",
        "noun.plant",
        "noun.possession",
        "noun.process",
        "noun.quantity",
        "noun.relation",
        "noun.shape",
        "noun.state",
        "noun.substance",
        "noun.time",
        "verb.body",
        "verb.change",
        "verb.cognition",
        "verb.communication",
        "verb.competition",
        "verb.consumption",
        "verb.contact",
        "verb.creation",
        "verb.emotion",
        "verb.motion",
        "verb.perception",
        "verb.possession",
        "verb.social",
        "verb.stative",
        "verb.weather",
        "adj.ppl",
    ];
    NAMES.get(number).copied()
}

/// The field that a pointer symbol becomes.
pub(crate) fn relation(symbol: &str, from: Pos) -> Option<&'static str> {
    Some(match symbol {
        "!" => "antonym",
        "@" => "hypernym",
        "@i" => "instance_hypernym",
        "~" => "hyponym",
        "~i" => "instance_hyponym",
        "#m" => "member_holonym",
        "#s" => "substance_holonym",
        "#p" => "part_holonym",
        "%m" => "member_meronym",
        "%s" => "substance_meronym",
        "%p" => "part_meronym",
        "=" => "attribute",
        "+" => "derivation",
        ";c" => "domain_topic",
        "-c" => "domain_topic_member",
        ";r" => "domain_region",
        "-r" => "domain_region_member",
        ";u" => "domain_usage",
        "-u" => "domain_usage_member",
        "*" => "entailment",
        ">" => "cause",
        "^" => "also_see",
        "$" => "verb_group",
        "&" => "similar_to",
        "<" => "participle_of",
        "\\" if from == Pos::Adverb => "derived_from",
        "\\" => "pertainym",
        _ => return None,
    })
}
