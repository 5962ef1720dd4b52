#pragma once
// The words that guard.cc knows.

#include <array>
#include <utility>

namespace skep::cache {

// Numbers written out; negative values are no numbers, only names of their own.
inline constexpr std::array kNumberWords = {
    std::pair{"zero", 0},      std::pair{"one", 1},         std::pair{"two", 2},           std::pair{"three", 3},
    std::pair{"four", 4},      std::pair{"five", 5},        std::pair{"six", 6},           std::pair{"seven", 7},
    std::pair{"eight", 8},     std::pair{"nine", 9},        std::pair{"ten", 10},          std::pair{"eleven", 11},
    std::pair{"twelve", 12},   std::pair{"thirteen", 13},   std::pair{"fourteen", 14},     std::pair{"fifteen", 15},
    std::pair{"sixteen", 16},  std::pair{"seventeen", 17},  std::pair{"eighteen", 18},     std::pair{"nineteen", 19},
    std::pair{"twenty", 20},   std::pair{"thirty", 30},     std::pair{"forty", 40},        std::pair{"fifty", 50},
    std::pair{"sixty", 60},    std::pair{"seventy", 70},    std::pair{"eighty", 80},       std::pair{"ninety", 90},
    std::pair{"hundred", 100}, std::pair{"thousand", 1000}, std::pair{"million", 1000000}, std::pair{"third", 3},
    std::pair{"half", -2},     std::pair{"twice", -3},      std::pair{"double", -3},       std::pair{"dozen", 12},
    std::pair{"fourth", 4},    std::pair{"fifth", 5},       std::pair{"sixth", 6},         std::pair{"seventh", 7},
    std::pair{"eighth", 8},    std::pair{"ninth", 9},       std::pair{"tenth", 10},        std::pair{"triple", -4},
    std::pair{"quarter", -5},  std::pair{"billion", -6},    std::pair{"trillion", -7}};

// Each of these turns a question round; a word counts by itself, whatever stands around it.
inline constexpr std::array kTurning = {
    "no", "never", "without", "none", "nobody", "nothing", "neither", "nor", "except", "unless", "hardly", "barely",
    "false", "true", "disable", "enable", "disabled", "enabled", "off", "on", "before", "after", "above", "below",
    "over", "under", "more", "less", "fewer", "most", "least", "max", "min", "maximum", "minimum", "highest", "lowest",
    "largest", "smallest", "increase", "decrease", "raise", "lower", "start", "stop", "open", "close", "closed", "add",
    "remove", "delete", "create", "install", "uninstall", "allow", "deny", "refuse", "accept", "up", "down", "left",
    "right", "wrong", "correct", "first", "last", "old", "new", "young", "hot", "cold", "warm", "cool", "fast", "slow",
    "buy", "sell", "import", "export", "encrypt", "decrypt", "encode", "decode", "compress", "decompress", "upload",
    "download", "read", "write", "push", "pull", "send", "receive", "input", "output", "source", "target", "sender",
    "receiver", "parent", "child", "client", "server", "public", "private", "local", "remote", "to", "from", "in",
    "out", "into", "with", "yes", "all", "any", "some", "only", "both", "best", "worst", "better", "worse", "good",
    "bad", "win", "lose", "he", "she", "his", "her", "my", "your", "our", "their", "today", "tomorrow", "yesterday",
    "now", "then", "always", "sometimes", "safe", "legal", "possible", "valid", "lock", "mean", "median", "average",
    "sum", "product", "difference", "quotient", "multiply", "divide", "subtract", "plus", "minus", "times", "square",
    "cube", "root", "even", "odd", "positive", "negative", "ascending", "descending", "north", "south", "east", "west",
    "sync", "async", "next", "previous", "current", "following", "past", "future", "ago", "later", "earlier", "since",
    "until", "early", "late", "morning", "noon", "evening", "night", "begin", "end", "pass", "fail", "success",
    "failure", "big", "small", "large", "long", "short", "high", "low", "full", "empty", "strong", "weak", "cheap",
    "expensive", "male", "female", "when", "where", "who", "whom", "whose", "why", "how", "than", "instead", "rather",
    "versus", "vs",
    // The same in a few other languages.
    "nicht", "kein", "keine", "keinen", "nie", "ohne", "pas", "jamais", "sans", "rien", "nunca", "sin", "non", "mai",
    "senza", "nem", "sem", "niet", "geen", "inte", "ikke"};

// After these, what follows is the part that is left out or set against something.
inline constexpr std::array kSetsAgainst = {"not",    "no",     "without", "except", "than",  "instead", "rather",
                                            "versus", "vs",     "but",     "never",  "nicht", "kein",    "keine",
                                            "ohne",   "unless", "only",    "pas",    "sans",  "sin",     "senza"};
inline constexpr std::array kLittle = {"a",    "an", "the", "of",  "i",  "you", "we",
                                       "they", "it", "is",  "are", "be", "that"};

// Negations whose apostrophe was left out.
inline constexpr std::array kNegations = {"not",    "cannot", "cant",   "dont",    "doesnt",  "didnt",    "isnt",
                                          "arent",  "wasnt",  "werent", "couldnt", "wouldnt", "shouldnt", "wont",
                                          "havent", "hasnt",  "hadnt",  "mustnt",  "neednt",  "aint"};

// Beginnings that turn a word round. Many words merely begin so: they must then be the same on both sides.
inline constexpr std::array kPrefixes = {"un", "non", "dis", "in", "im", "ir", "il", "mis", "anti"};

// Sentences begin with these, capitalised, without naming anybody.
inline constexpr std::array kBeginnings = {
    "what",  "which",     "is",   "are",     "was",       "were",      "am",      "do",        "does",    "did",
    "can",   "could",     "will", "would",   "shall",     "should",    "may",     "might",     "must",    "have",
    "has",   "had",       "the",  "a",       "an",        "i",         "we",      "you",       "it",      "they",
    "these", "those",     "that", "there",   "here",      "if",        "as",      "at",        "for",     "of",
    "and",   "or",        "but",  "so",      "please",    "tell",      "show",    "give",      "explain", "describe",
    "list",  "name",      "find", "compute", "calculate", "translate", "convert", "summarise", "define",  "compare",
    "make",  "let",       "take", "turn",    "run",       "say",       "hi",      "hello",     "thanks",  "ok",
    "check", "help",      "get",  "set",     "put",       "use",       "sort",    "count",     "answer",  "suggest",
    "me",    "us",        "also", "however", "because",   "by",        "wie",     "was",       "der",     "die",
    "das",   "summarize", "meet", "costs"};

inline constexpr std::array kCalendar = {
    "january",  "february", "march",  "april",   "may",       "june",     "july",   "august",   "september", "october",
    "november", "december", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",    "jan",
    "feb",      "mar",      "apr",    "jun",     "jul",       "aug",      "sep",    "oct",      "nov",       "dec",
    "mon",      "tue",      "wed",    "thu",     "fri",       "sat",      "sun",    "am",       "pm",        "utc"};

inline constexpr std::array kMeasures = {
    "g",  "kg",  "mg",  "t",   "lb",  "lbs", "oz",  "m",   "km",  "cm",  "mm",  "ft",  "mi",  "l",
    "ml", "dl",  "s",   "ms",  "us",  "ns",  "min", "h",   "hr",  "d",   "w",   "kw",  "mw",  "v",
    "kv", "mv",  "ma",  "hz",  "khz", "mhz", "ghz", "c",   "f",   "k",   "b",   "kb",  "mb",  "gb",
    "tb", "kib", "mib", "gib", "tib", "pa",  "kpa", "bar", "psi", "eur", "usd", "gbp", "mph", "kmh",
    "nm", "kwh", "wh",  "cal", "j",   "kj",  "rpm", "ppm", "db",  "px",  "pt",  "x",   "bit", "bps"};

// Units written out; they count wherever they stand, in singular and plural.
inline constexpr std::array kUnitWords = {
    "second",    "minute",    "hour",       "day",        "week",       "month",      "year",   "decade",
    "century",   "mile",      "yard",       "foot",       "feet",       "inch",       "meter",  "metre",
    "kilometer", "kilometre", "centimeter", "centimetre", "millimeter", "millimetre", "gram",   "kilogram",
    "ounce",     "pound",     "ton",        "tonne",      "liter",      "litre",      "gallon", "pint",
    "cup",       "celsius",   "fahrenheit", "kelvin",     "percent",    "euro",       "dollar", "cent",
    "yen",       "watt",      "kilowatt",   "volt",       "ampere",     "amp",        "joule",  "calorie",
    "byte",      "kilobyte",  "megabyte",   "gigabyte",   "terabyte",   "bit",        "hertz",  "degree"};

}  // namespace skep::cache
