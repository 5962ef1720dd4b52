#include "memory/postgres_search.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "memory/words.h"

namespace skep::memory {

using store::PgRows;
using store::PgStatement;
using store::PgText;

namespace {

// As a tsquery has it: words_of() leaves letters and digits alone.
std::string quoted(const std::string& word) { return "'" + word + "'"; }

// Any of the words [from, to).
std::string any_of(const SearchWords& words, size_t from, size_t to) {
  std::string any;
  for (size_t i = from; i < to; ++i) any += (any.empty() ? "" : " | ") + quoted(words.all[i].word);
  return any;
}

// A statement under construction.
class Builder {
 public:
  explicit Builder(const FactSearch& search) : search_(search) {}

  PgStatement finish() && {
    if (search_.vector != nullptr) {
      distance_ = fmt::format("(vector::vector({0}) <=> {1}::vector({0}))", search_.dimensions,
                              next(vector_text(*search_.vector)));
    }
    conditions_ = where(*search_.filter, made_.parameters);
    const bool all = open(*search_.filter);
    std::vector<std::string> with, arms;
    if (!all && !search_.scan) {
      with.push_back(fmt::format(
          "scope AS MATERIALIZED (SELECT count(*) <= {0} AS few FROM (SELECT FROM skep_facts WHERE {1} LIMIT "
          "{0} + 1) AS counted)",
          search_.scan_at_most, conditions_));
    }
    if (!all || search_.scan) {
      with.push_back(scanned(search_.scan ? "true" : "(SELECT few FROM scope)"));
      if (search_.vector != nullptr) {
        arms.push_back(
            "SELECT id, NULL::float8 AS weight, false AS by_graph, distance FROM left_over WHERE distance IS "
            "NOT NULL ORDER BY distance LIMIT " +
            count());
      }
      if (!search_.words.all.empty()) {
        arms.push_back(
            "SELECT id, weight, false AS by_graph, distance FROM left_over WHERE weight > 0 ORDER BY weight DESC "
            "LIMIT " +
            count());
      }
    }
    if (!search_.scan) {
      const std::string many = all ? "true" : "NOT (SELECT few FROM scope)";
      if (search_.vector != nullptr) arms.push_back(along_the_graph(many));
      if (!search_.words.all.empty()) arms.push_back(of_the_rarest_words(many));
    }
    std::string& sql = made_.sql;
    for (const std::string& one : with) sql += (sql.empty() ? "WITH " : ", ") + one;
    sql += fmt::format(" SELECT {}, 1 - {} AS similarity, weight, by_graph FROM (", kFactColumns,
                       search_.vector != nullptr ? "coalesce(found.distance, " + guarded() + ")" : "NULL::float8");
    for (size_t i = 0; i < arms.size(); ++i) sql += (i > 0 ? " UNION ALL (" : "(") + arms[i] + ")";
    // Each by its id, whatever the server thinks of how many they are.
    sql +=
        ") AS found JOIN LATERAL (SELECT agent, text, source, tags, time, vector FROM skep_facts WHERE id = found.id "
        "OFFSET 0) AS fact ON true ORDER BY similarity DESC NULLS LAST";
    return std::move(made_);
  }

 private:
  std::string next(std::string value) {
    made_.parameters.emplace_back(std::move(value));
    return "$" + std::to_string(made_.parameters.size());
  }
  [[nodiscard]] std::string count() const { return std::to_string(search_.candidates); }
  // Vectors of another length may be there until an embedder's change has come through.
  [[nodiscard]] std::string guarded() const {
    return fmt::format("CASE WHEN vector_dims(vector) = {} THEN {} END", search_.dimensions, distance_);
  }
  // What the query's words weigh together that a fact has.
  const std::string& weight() {
    if (!weight_.empty()) return weight_;
    for (const SearchWords::Word& one : search_.words.all) {
      weight_ += fmt::format("{}CASE WHEN words @@ {}::tsquery THEN {:.6f}::float8 ELSE 0 END",
                             weight_.empty() ? "" : " + ", next(quoted(one.word)), one.weight);
    }
    return weight_;
  }

  // Every fact that the filter leaves, once `condition` holds.
  std::string scanned(const std::string& condition) {
    std::string weighed = "NULL::float8";
    const size_t words = search_.words.all.size();
    if (words > 0) {
      const std::string any = next(any_of(search_.words, 0, words));
      weighed = fmt::format("CASE WHEN words @@ {}::tsquery THEN {} END", any, weight());
    }
    return fmt::format(
        "left_over AS MATERIALIZED (SELECT id, {} AS distance, {} AS weight FROM skep_facts WHERE {} AND {})",
        search_.vector != nullptr ? guarded() : "NULL::float8", weighed, condition, conditions_);
  }
  std::string along_the_graph(const std::string& condition) const {
    return fmt::format(
        "SELECT id, NULL::float8 AS weight, true AS by_graph, {0} AS distance FROM skep_facts WHERE "
        "vector_dims(vector) "
        "= {1} AND {2} AND {3} ORDER BY {0} LIMIT {4}",
        distance_, search_.dimensions, condition, conditions_, search_.candidates);
  }
  // Their vectors are fetched for the best alone, outside.
  std::string of_the_rarest_words(const std::string& condition) {
    const SearchWords& words = search_.words;
    std::string from;
    std::string rare;
    if (words.rare > 0) {
      rare = next(any_of(words, 0, words.rare));
      from = fmt::format("SELECT id, words FROM skep_facts WHERE words @@ {}::tsquery AND {} AND {}", rare, condition,
                         conditions_);
    }
    if (words.common > 0) {
      if (!from.empty()) from += " UNION ALL ";
      from += fmt::format("(SELECT id, words FROM skep_facts WHERE words @@ {}::tsquery AND {} AND {}{} LIMIT {})",
                          next(quoted(words.all[words.rare].word)), condition, conditions_,
                          rare.empty() ? "" : " AND NOT words @@ " + rare + "::tsquery", SearchWords::kWeighed);
    }
    return fmt::format(
        "SELECT id, {} AS weight, true AS by_graph, NULL::float8 AS distance FROM ({}) AS having_one ORDER BY weight "
        "DESC LIMIT {}",
        weight(), from, count());
  }

  const FactSearch& search_;
  PgStatement made_;
  std::string distance_, conditions_, weight_;
};

}  // namespace

PgStatement WordFrequencies::statement() {
  return {
      "SELECT reltuples, most_common_elems::text, most_common_elem_freqs::text FROM pg_class JOIN pg_namespace AS n "
      "ON n.oid = relnamespace LEFT JOIN pg_stats ON schemaname = nspname AND tablename = relname AND attname = "
      "'words' WHERE pg_class.oid = to_regclass('skep_facts')",
      {}};
}

Result<WordFrequencies> WordFrequencies::from(const PgRows& answer) {
  WordFrequencies made;
  if (answer.size() != 1) return made;
  made.facts_ = std::max(0.0, answer.real(0, 0));
  if (answer.null(0, 1) || answer.null(0, 2)) return made;
  SKEP_TRY(const std::vector<std::string> words, store::parse_pg_array(answer.text(0, 1)));
  SKEP_TRY(const std::vector<std::string> shares, store::parse_pg_array(answer.text(0, 2)));
  // Behind the shares of the words stand the least and the greatest of them.
  for (size_t i = 0; i < words.size() && i < shares.size(); ++i) {
    const double facts = made.facts_ * std::strtod(shares[i].c_str(), nullptr);
    made.common_[words[i]] = facts;
    made.least_ = i == 0 ? facts : std::min(made.least_, facts);
  }
  return made;
}

double WordFrequencies::facts_with(const std::string& word) const {
  const auto found = common_.find(word);
  return found != common_.end() ? found->second : least_ / 2;
}

double WordFrequencies::weight(const std::string& word) const {
  const double n = facts_with(word);
  return std::log1p((std::max(facts_, n) - n + 0.5) / (n + 0.5));
}

SearchWords choose_words(const std::string& text, const WordFrequencies& frequencies, size_t candidates) {
  std::vector<std::string> words = words_of(text);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  // Of words that nothing is known of, long ones are the rarer.
  std::sort(words.begin(), words.end(), [&](const std::string& a, const std::string& b) {
    const double of_a = frequencies.facts_with(a), of_b = frequencies.facts_with(b);
    if (of_a != of_b) return of_a < of_b;
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
  if (words.size() > SearchWords::kMost) words.resize(SearchWords::kMost);
  SearchWords chosen;
  for (std::string& word : words) {
    const double weight = frequencies.weight(word);
    chosen.all.push_back({std::move(word), weight});
  }
  double facts = 0;
  for (; chosen.rare < chosen.all.size(); ++chosen.rare) {
    const double with = frequencies.facts_with(chosen.all[chosen.rare].word);
    if (facts + with > double{SearchWords::kWeighed}) break;
    facts += with;
  }
  const bool enough = facts >= static_cast<double>(candidates);
  chosen.common = !enough && chosen.rare < chosen.all.size() ? 1 : 0;
  return chosen;
}

size_t worth_scanning(double facts) {
  constexpr double kFound = 48, kVisitOverRead = 2.5;
  return static_cast<size_t>(std::clamp(std::sqrt(kFound * kVisitOverRead * facts), 1000.0, 50'000.0));
}

PgStatement statement(const FactSearch& search) { return Builder(search).finish(); }

bool came_short(const FactSearch& search, const PgRows& answer) {
  if (search.scan || search.vector == nullptr || open(*search.filter)) return false;
  size_t near = 0;
  for (int row = 0; row < answer.size(); ++row) {
    if (answer.text(row, kByGraph) == "f") return false;
    if (answer.null(row, kWeight)) ++near;
  }
  return near < search.candidates;
}

std::string vector_text(const std::vector<float>& vector) {
  std::string out = "[";
  for (const float x : vector) fmt::format_to(std::back_inserter(out), "{}{}", out.size() > 1 ? "," : "", x);
  return out + "]";
}

std::string stamp(WallTime time) { return std::to_string(time.time_since_epoch().count()); }

bool open(const Filter& filter) { return !filter.agent && filter.tags.empty() && !filter.from && !filter.to; }

std::string where(const Filter& filter, std::vector<PgText>& parameters) {
  std::string sql = "true";
  const auto next = [&](std::string value) {
    parameters.emplace_back(std::move(value));
    return "$" + std::to_string(parameters.size());
  };
  if (filter.agent) {
    sql += " AND agent" + (filter.with_shared ? " IN (" + next(*filter.agent) + ", '')" : " = " + next(*filter.agent));
  }
  if (!filter.tags.empty()) sql += " AND tags @> " + next(store::pg_array(filter.tags)) + "::text[]";
  if (filter.from) sql += " AND time >= " + next(stamp(*filter.from)) + "::bigint";
  if (filter.to) sql += " AND time < " + next(stamp(*filter.to)) + "::bigint";
  return sql;
}

}  // namespace skep::memory
