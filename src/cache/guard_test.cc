#include "cache/guard.h"

#include <gtest/gtest.h>

namespace skep::cache {
namespace {

struct Pair {
  const char *asked, *cached;
};

// Pairs that embeddings put at a cosine of 0.95 and above, and that ask for different things.
constexpr Pair kDifferent[] = {
    {"Is 81 degrees too hot for the pump?", "Is 18 degrees too hot for the pump?"},
    {"What is 12 times 13?", "What is 12 times 31?"},
    {"Is eighty-one degrees too hot?", "Is eighteen degrees too hot?"},
    {"Convert 5 kg to pounds", "Convert 5 g to pounds"},
    {"What is 3.5 plus 1?", "What is 35 plus 1?"},
    {"What is 2 + 2?", "What is 2 - 2?"},
    {"What is 2 + 2?", "What is 2 * 2?"},
    {"Is -5 below the limit?", "Is 5 below the limit?"},
    {"Is x < 3?", "Is x > 3?"},
    {"Take 50% of it", "Take 50 of it"},
    {"What happened on 2026-11-21?", "What happened on 2026-11-12?"},
    {"What happened on 3 March?", "What happened on 3 May?"},
    {"Meet on Monday at 10:30", "Meet on Tuesday at 10:30"},
    {"Meet at 10:30", "Meet at 10:03"},
    {"Meet at 10 am", "Meet at 10 pm"},
    {"Will it rain tomorrow?", "Will it rain today?"},
    {"Is the valve open?", "Is the valve not open?"},
    {"Should I restart the server?", "Shouldn't I restart the server?"},
    {"Can dogs eat grapes?", "Can't dogs eat grapes?"},
    {"Run it with tests", "Run it without tests"},
    {"Is it safe to drink?", "Is it unsafe to drink?"},
    {"Is it legal?", "Is it illegal?"},
    {"Delete \"report.txt\"", "Delete \"reports.txt\""},
    {"What does `rm -r a` do?", "What does `rm -r b` do?"},
    {"Translate 'cat' into German", "Translate 'dog' into German"},
    {"Who is Alice Smith?", "Who is Alice Jones?"},
    {"What is the capital of France?", "What is the capital of Spain?"},
    {"Fly from Rome to Paris", "Fly from Paris to Rome"},
    {"Did Alice pay Bob?", "Did Bob pay Alice?"},
    {"Does 10 come before 20?", "Does 20 come before 10?"},
    {"Read the log of pump-4", "Read the log of pump-5"},
    {"What is log_2 of 8?", "What is log_10 of 8?"},
    {"Ping 192.168.0.1", "Ping 192.168.0.11"},
    {"Open /etc/hosts", "Open /etc/passwd"},
    {"Mail bob@example.com", "Mail rob@example.com"},
    {"Find the maximum of the list", "Find the minimum of the list"},
    {"Sort it ascending", "Sort it descending"},
    {"Turn the light on", "Turn the light off"},
    {"What came before the war?", "What came after the war?"},
    {"Show me the first row", "Show me the last row"},
    {"How do I enable the firewall?", "How do I disable the firewall?"},
    {"How do I encrypt a file?", "How do I decrypt a file?"},
    {"Increase the dose", "Decrease the dose"},
    {"Is the price going up?", "Is the price going down?"},
    {"Are all birds able to fly?", "Are some birds able to fly?"},
    {"Should I buy the stock?", "Should I sell the stock?"},
    {"Explain TCP", "Explain UDP"},
    {"Wie heiß ist 81 Grad?", "Wie heiß ist 18 Grad?"},
    // Numbers and signs.
    {"Is it in Python 3.10?", "Is it in Python 3.1?"},
    {"What is new in 22.10?", "What is new in 22.1?"},
    {"Take 1,5 mg", "Take 15 mg"},
    {"Enter code 007", "Enter code 7"},
    {"What is (2+3)*4?", "What is 2+3*4?"},
    {"What is 2 + 3 * 4?", "What is 2 * 3 + 4?"},
    {"Compute f(-5)", "Compute f(5)"},
    {"Let x=-5", "Let x=5"},
    {"Is \xe2\x88\x92"
     "5 cold?",
     "Is 5 cold?"},
    {"Is x\xe2\x89\xa4"
     "3?",
     "Is x\xe2\x89\xa5"
     "3?"},
    {"Convert m\xc2\xb2", "Convert m\xc2\xb3"},
    {"Round \xef\xbc\x98\xef\xbc\x91", "Round \xef\xbc\x91\xef\xbc\x98"},
    {"What is 5! now?", "What is 5 now?"},
    {"The fourth of the list", "The fifth of the list"},
    {"Is a billion enough?", "Is a trillion enough?"},
    // Units and dates.
    {"Is 20 \xc2\xb0"
     "C warm?",
     "Is 20 \xc2\xb0"
     "F warm?"},
    {"Is 20 \xe2\x82\xac much?", "Is 20 \xc2\xa3 much?"},
    {"Does it take 5 days?", "Does it take 5 weeks?"},
    {"Is it 2 miles away?", "Is it 2 kilometers away?"},
    {"What is planned this week?", "What is planned next week?"},
    // Negations.
    {"Why can\xe2\x80\x99t it start?", "Why can it start?"},
    {"It doesnt start", "It does start"},
    {"Is it correct?", "Is it incorrect?"},
    {"Use tabs, not spaces", "Use spaces, not tabs"},
    {"Rather tea than coffee", "Rather coffee than tea"},
    {"Warum startet es nicht?", "Warum startet es?"},
    // Quotes and names.
    {"Translate \xc2\xab"
     "chat\xc2\xbb",
     "Translate \xc2\xab"
     "chien\xc2\xbb"},
    {"Translate \xe2\x80\x9e"
     "Hund\xe2\x80\x9c",
     "Translate \xe2\x80\x9e"
     "Katze\xe2\x80\x9c"},
    {"Translate 'I don't like cats'", "Translate 'I don't like dogs'"},
    {"Ask Dr. Smith", "Ask Dr. Jones"},
    {"Paris is how far away?", "London is how far away?"},
    {"Is vitamin B good?", "Is vitamin C good?"},
    {"Wo liegt \xc3\x96sterreich?", "Wo liegt \xc3\x84gypten?"},
    // Question words and opposites.
    {"When was it built?", "Where was it built?"},
    {"What is their sum?", "What is their product?"},
    {"Did the upload work?", "Did the download work?"},
};

constexpr Pair kSame[] = {
    {"Is 81 degrees too hot for the pump?", "is 81 degrees too hot for a pump"},
    {"What's the capital of France?", "Tell me the capital of France."},
    {"Please explain how photosynthesis works", "Explain how photosynthesis works, please"},
    {"Summarise the report", "Summarize this report"},
    {"Isn't 5 a prime?", "Is 5 not a prime?"},
    {"It costs 1,000 euros", "It costs 1000 euros"},
    {"Is 81.0 too much?", "Is 81 too much?"},
    {"Is twenty too much?", "Is 20 too much?"},
    {"Why is the sky blue?", "why is the sky blue"},
    {"What\xe2\x80\x99s the capital of France?", "What's the capital of France?"},
    {"Which colour does the pump have?", "What colour does the pump have?"},
};

TEST(Guard, RefusesPairsThatOnlyLookAlike) {
  for (const Pair& pair : kDifferent) {
    EXPECT_FALSE(compare_questions(pair.asked, pair.cached).same) << pair.asked << " | " << pair.cached;
    EXPECT_FALSE(compare_questions(pair.cached, pair.asked).same) << pair.cached << " | " << pair.asked;
    EXPECT_FALSE(compare_questions(pair.asked, pair.cached).difference.empty());
  }
}

TEST(Guard, LetsRewordingsThrough) {
  for (const Pair& pair : kSame) {
    GuardVerdict verdict = compare_questions(pair.asked, pair.cached);
    EXPECT_TRUE(verdict.same) << pair.asked << " | " << pair.cached << ": " << verdict.difference;
  }
}

TEST(Guard, AQuestionIsTheSameAsItself) {
  for (const Pair& pair : kDifferent) EXPECT_TRUE(compare_questions(pair.asked, pair.asked).same) << pair.asked;
}

TEST(Guard, EndsOnAnyBytes) {
  for (const char* text : {"", "\"", "'", "`open", "\xff\xfe", "1.", "-", "a-", "\xe2\x80\x9c", "9-9-9-", "1,,2"}) {
    EXPECT_TRUE(compare_questions(text, text).same) << text;
  }
}

}  // namespace
}  // namespace skep::cache
