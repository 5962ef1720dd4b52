#include "daemon/memory_export.h"

#include <algorithm>
#include <utility>

#include "agent/export_lines.h"
#include "store/encoding.h"

namespace skep::daemon {
namespace {

using store::Decoder;
using store::Encoder;

constexpr std::string_view kHeader = "skep-memory 1 ";
constexpr size_t kPage = 500;                           // facts, keys or items at once
constexpr size_t kLargest = size_t{256} << 20;          // bytes
constexpr std::string_view kArchive = "conversation:";  // a tag: the agent's name and the conversation's follow

std::string line(char kind, Encoder& body) { return fmt::format("{} {}\n", kind, agent::to_base64(body.take())); }

std::string fact_line(const memory::Fact& fact) {
  Encoder out;
  out.text(fact.text).text(fact.source).integer(fact.time.time_since_epoch().count()).varint(fact.tags.size());
  for (const std::string& tag : fact.tags) out.text(tag);
  return line('f', out);
}

std::string block_line(const memory::Block& block) {
  Encoder out;
  out.text(block.label).text(block.value).text(block.description).varint(block.limit).varint(block.read_only ? 1 : 0);
  return line('b', out);
}

// A conversation's archive goes by the agent's name.
std::string renamed(const std::string& tag, std::string_view from, const std::string& to) {
  const std::string old = fmt::format("{}{}/", kArchive, from);
  return tag.starts_with(old) ? fmt::format("{}{}/{}", kArchive, to, tag.substr(old.size())) : tag;
}

Status too_large() { return fail(ErrorCode::too_large, "what the agent remembers is too much for one export"); }

Result<std::vector<std::string>> all_items(store::KeyValue& values, const std::string& space, const std::string& key) {
  std::vector<std::string> all;
  for (;;) {
    SKEP_TRY(auto some, values.items(space, key, all.size(), kPage));
    if (some.empty()) return all;
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
}

Result<std::string> value_lines(store::KeyValue& values, const std::string& agent) {
  const std::string space = memory::MemoryService::space_of(agent);
  std::string text, after;
  for (;;) {
    SKEP_TRY(const auto keys, values.keys(space, "", after, kPage));
    if (keys.empty()) return text;
    for (const std::string& key : keys) {
      const auto value = values.get(space, key);
      const bool list = !value && value.error().code == ErrorCode::invalid_argument;
      if (!value && !list) return fail(value.error());
      const auto ttl = values.ttl(space, key);
      if (!ttl || (value && !*value)) continue;  // it has just expired
      Encoder out;
      out.text(key).integer(*ttl ? (*ttl)->count() : 0).varint(list ? 1 : 0);
      if (list) {
        SKEP_TRY(const auto items, all_items(values, space, key));
        out.varint(items.size());
        for (const std::string& item : items) out.text(item);
      } else {
        out.text(**value);
      }
      text += line('v', out);
      if (text.size() > kLargest) return fail(too_large().error());
    }
    after = keys.back();
  }
}

Result<std::string> value_and_block_lines(store::KeyValue& values, memory::Blocks& blocks, const std::string& agent) {
  std::string text;
  SKEP_TRY(const auto all, blocks.of(agent));
  for (const memory::Block& block : all) {
    if (block.owner == agent) text += block_line(block);
  }
  SKEP_TRY(const std::string more, value_lines(values, agent));
  return text + more;
}

struct Export {
  memory::MemoryService& memory;
  std::string agent, text;
  std::function<void(Result<std::string>)> done;
};

void export_rest(const std::shared_ptr<Export>& job) {
  job->memory.with_values(
      [agent = job->agent](store::KeyValue& values, memory::Blocks& blocks) {
        return value_and_block_lines(values, blocks, agent);
      },
      [job](const Result<std::string>& lines) {
        if (!lines) return job->done(fail(lines.error()));
        job->text += *lines;
        job->done(job->text + agent::sum_line(job->text));
      });
}

void export_facts(const std::shared_ptr<Export>& job, memory::FactId after) {
  memory::Filter own;
  own.agent = job->agent;
  own.with_shared = false;
  job->memory.list(own, after, kPage, [job](const Result<std::vector<memory::Fact>>& facts) {
    if (!facts) return job->done(fail(facts.error()));
    if (facts->empty()) return export_rest(job);
    for (const memory::Fact& fact : *facts) job->text += fact_line(fact);
    if (job->text.size() > kLargest) return job->done(fail(too_large().error()));
    export_facts(job, facts->back().id);
  });
}

bool read_line(char kind, std::string_view bytes, std::string_view from, const std::string& agent,
               ImportedMemory& into) {
  Decoder in(bytes);
  if (kind == 'f') {
    memory::NewFact fact;
    fact.agent = agent;
    fact.text = in.text();
    fact.source = in.text();
    fact.time = WallTime(Duration(in.integer()));
    for (uint64_t n = in.varint(); n > 0 && in.ok(); --n) {
      fact.tags.push_back(renamed(std::string(in.text()), from, agent));
    }
    into.facts.push_back(std::move(fact));
  } else if (kind == 'b') {
    memory::Block block;
    block.owner = agent;
    block.label = in.text();
    block.value = in.text();
    block.description = in.text();
    block.limit = in.varint();
    block.read_only = in.varint() != 0;
    into.blocks.push_back(std::move(block));
  } else if (kind == 'v') {
    ImportedMemory::Value value;
    value.key = in.text();
    if (const int64_t left = in.integer(); left > 0) value.ttl = Duration(left);
    value.list = in.varint() != 0;
    if (!value.list) value.text = in.text();
    for (uint64_t n = value.list ? in.varint() : 0; n > 0 && in.ok(); --n) value.items.emplace_back(in.text());
    into.values.push_back(std::move(value));
  } else {
    return false;
  }
  return in.done();
}

Status write_values(store::KeyValue& values, memory::Blocks& blocks, const std::string& agent,
                    const ImportedMemory& imported) {
  const std::string space = memory::MemoryService::space_of(agent);
  for (const memory::Block& block : imported.blocks) {
    if (auto put = blocks.put(block, memory::Writer::person); !put) return fail(put.error());
  }
  for (const ImportedMemory::Value& value : imported.values) {
    if (!value.list) SKEP_CHECK(values.put(space, value.key, value.text, value.ttl));
    for (const std::string& item : value.items) {
      if (auto put = values.push(space, value.key, item, value.items.size(), value.ttl); !put) return fail(put.error());
    }
  }
  return {};
}

struct Import {
  memory::MemoryService& memory;
  std::string agent;
  ImportedMemory imported;
  size_t added = 0;
  std::function<void(Status)> done;
};

void import_rest(const std::shared_ptr<Import>& job) {
  job->memory.with_values(
      [agent = job->agent, imported = std::move(job->imported)](store::KeyValue& values, memory::Blocks& blocks) {
        return write_values(values, blocks, agent, imported);
      },
      [job](const Status& written) { job->done(written); });
}

void import_facts(const std::shared_ptr<Import>& job) {
  auto& facts = job->imported.facts;
  if (job->added >= facts.size()) return import_rest(job);
  const size_t end = std::min(job->added + kPage, facts.size());
  std::vector<memory::NewFact> some(std::make_move_iterator(facts.begin() + static_cast<ptrdiff_t>(job->added)),
                                    std::make_move_iterator(facts.begin() + static_cast<ptrdiff_t>(end)));
  job->added = end;
  job->memory.add(std::move(some), [job](const Result<std::vector<memory::Added>>& added) {
    if (!added) return job->done(fail(added.error()));
    import_facts(job);
  });
}

}  // namespace

void export_memory(memory::MemoryService& memory, const std::string& agent,
                   std::function<void(Result<std::string>)> done) {
  export_facts(std::make_shared<Export>(Export{memory, agent, fmt::format("{}{}\n", kHeader, agent), std::move(done)}),
               0);
}

ExportHalves halves_of(std::string_view text) {
  const size_t at = text.find("\n" + std::string(kHeader));
  if (at == text.npos) return {text, {}};
  return {text.substr(0, at + 1), text.substr(at + 1)};
}

Result<ImportedMemory> parse_memory(std::string_view text, const std::string& agent) {
  const auto refuse = [](const std::string& why) {
    return fail(ErrorCode::invalid_argument, "this is no export of an agent's memory: " + why,
                "make one with skep agent export");
  };
  if (text.size() > kLargest) return refuse("it is too large");
  auto lines = agent::summed_lines(text);
  if (!lines || !text.starts_with(kHeader)) return refuse("its checksum is wrong: it was cut or changed");
  const std::string from(lines->substr(kHeader.size(), lines->find('\n') - kHeader.size()));
  lines->remove_prefix(lines->find('\n') + 1);
  ImportedMemory imported;
  while (!lines->empty()) {
    const std::string_view one = lines->substr(0, lines->find('\n'));
    lines->remove_prefix(std::min(one.size() + 1, lines->size()));
    const auto bytes = one.size() > 2 ? agent::from_base64(one.substr(2)) : std::nullopt;
    if (!bytes || !read_line(one.front(), *bytes, from, agent, imported)) return refuse("a line makes no sense");
  }
  return imported;
}

void import_memory(memory::MemoryService& memory, const std::string& agent, ImportedMemory imported,
                   std::function<void(Status)> done) {
  auto job = std::make_shared<Import>(Import{memory, agent, std::move(imported), 0, std::move(done)});
  memory.forget_agent(agent, [job](const Result<memory::Forgotten>& gone) {
    if (!gone) return job->done(fail(gone.error()));
    import_facts(job);
  });
}

}  // namespace skep::daemon
