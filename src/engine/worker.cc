#include "engine/worker.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "engine/connection.h"
#include "engine/cpu_pacer.h"
#include "engine/embedder.h"
#include "engine/farewell.h"
#include "engine/generator.h"
#include "engine/good_neighbour.h"
#include "engine/parking_lot.h"

namespace skep::engine {
namespace {

using std::chrono::seconds;

constexpr Duration kLoadStall = seconds(120);              // without progress while loading
constexpr Duration kStepLimit = seconds(60);               // of one step, or 20 times the usual
constexpr auto kDiskPause = std::chrono::milliseconds(2);  // while the disk catches up

// Which file that is, and when it was written to last: the catalog's hash may be older than what was loaded.
std::string version_of(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  return fmt::format("{} {}.{:09}", info.st_ino, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

class Worker {
 public:
  explicit Worker(int fd) : connection_(fd, [this] { stop(); }) {}

  int run(const ModelLoader& load) {
    connection_.send(0, Hello{kWireVersion, static_cast<int32_t>(getpid())});
    connection_.flush();
    const auto options = first_words();
    if (!options) return give_up(options.error());
    auto model = load_model(load, *options);
    if (!model) return give_up(model.error());
    // What may be parked is host memory as the cache is, and adapters lie where weights do.
    if (!model->loaded.memory.empty()) {
      model->loaded.memory[0].kv += options->park_memory;
      model->loaded.memory[0].weights += options->adapter_memory;
    }
    connection_.send(0, model->loaded);
    connection_.drain(seconds(5));
    if (options->measure_only) return 0;
    set_forward(model->forward.get());
    pacer_.emplace(options->cpu_limit, available_cores());
    const int threads = options->threads > 0 ? options->threads : available_cores();
    neighbour_.emplace(std::min(threads, pacer_->most_threads()),
                       [forward = model->forward.get()](int n) { forward->set_threads(n); });
    if (pacer_->most_threads() < threads) model->forward->set_threads(pacer_->most_threads());
    const Status served = serve(*model, *options);
    set_forward(nullptr);
    if (!served) return give_up(served.error());
    return connection_.error() ? 1 : 0;
  }

 private:
  // On the connection's thread.
  void stop() {
    stopping_ = true;
    const std::lock_guard lock(forward_mutex_);
    if (forward_ != nullptr) forward_->cancel();
  }

  void set_forward(Forward* forward) {
    const std::lock_guard lock(forward_mutex_);
    forward_ = forward;
  }

  int give_up(const Error& error) {
    if (connection_.ended() && !connection_.error()) return 0;
    connection_.send(0, Failed{error});
    connection_.drain(seconds(5));
    return 1;
  }

  // Hello and LoadOptions, in this order.
  Result<LoadOptions> first_words() {
    bool greeted = false;
    while (!connection_.ended()) {
      for (auto& [request, message] : connection_.receive(seconds(1))) {
        if (const auto* hello = std::get_if<Hello>(&message)) {
          if (hello->version != kWireVersion) {
            return fail(ErrorCode::unsupported,
                        fmt::format("the daemon speaks version {}, this worker {}", hello->version, kWireVersion));
          }
          greeted = true;
        } else if (auto* options = std::get_if<LoadOptions>(&message); options != nullptr && greeted) {
          return std::move(*options);
        } else {
          return fail(ErrorCode::corrupt, "a worker expects Hello and LoadOptions first");
        }
      }
    }
    return fail(connection_.error().value_or(Error{ErrorCode::cancelled, "the daemon hung up", {}}));
  }

  Result<ReadyModel> load_model(const ModelLoader& load, const LoadOptions& options) {
    float reported = -1;
    connection_.begin_work(kLoadStall);
    auto model = load(options, [&](float fraction) {
      connection_.begin_work(kLoadStall);
      if (fraction - reported >= 0.01F || fraction >= 1) {
        reported = fraction;
        connection_.send(0, Progress{fraction});
        connection_.flush();
      }
      return !stopping_;
    });
    connection_.end_work();
    return model;
  }

  Status serve(ReadyModel& model, const LoadOptions& options) {
    const auto lot = parking_for(model, options);
    GeneratorOptions settings;
    settings.parking = lot.get();
    settings.adapter_memory = options.adapter_memory;
    settings.slots = std::max(1, std::min(options.sequences, model.forward->limits().sequences));
    settings.random_seed = std::random_device{}();
    Generator generator(*model.forward, *model.vocabulary, clock_, settings,
                        [this](RequestId id, Message message) { connection_.send(id, message); });
    Embedder embedder(*model.forward, *model.vocabulary,
                      [this](RequestId id, Message message) { connection_.send(id, message); });
    if (lot) {
      for (const auto& left : lot->survivors()) {
        if (!generator.adopt(left.scope, left.prefix, left.begin, left.ticket)) lot->erase(left.ticket);
      }
    }
    const bool on_disk = lot && !options.park_directory.empty();
    // Twenty times what a token takes that comes from the disk; before the first, nothing is usual yet.
    const double rate = model.loaded.streamed.tokens_per_second;
    const auto from_disk =
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>(rate > 0 ? 20 / rate : 0));
    bool busy = false;
    bool behind = false;  // the disk is, with what was parked
    bool verified = false;
    while (!stopping_) {
      const Duration pause = busy ? pacer_->rest() : behind ? Duration(kDiskPause) : Duration(seconds(1));
      for (auto& [request, message] : connection_.receive(pause)) {
        handle(model, generator, embedder, request, std::move(message));
      }
      if (stopping_) break;
      if (busy && pacer_->rest() > Duration::zero()) {  // a message came meanwhile
        connection_.flush();
        continue;
      }
      const auto usual = std::chrono::duration<double>(20 * generator.times().mean_step_seconds());
      connection_.begin_work(std::max<Duration>({kStepLimit, std::chrono::duration_cast<Duration>(usual), from_disk}));
      const Generator::Load load = generator.load();
      if (load == Generator::Load::urgent) neighbour_->urgent();
      const TimePoint before = clock_.now();
      busy = generator.step();
      if (const int tokens = embedder.next_tokens(); tokens > 0) {
        connection_.begin_work(kStepLimit + std::chrono::milliseconds(100) * tokens);
        busy |= embedder.step();
      }
      neighbour_->look({.tokens = generator.step_tokens(),
                        .took = clock_.now() - before,
                        .background = load == Generator::Load::background,
                        .waits = model.forward->waits()});
      pacer_->look();
      if (!busy && on_disk) {
        behind = lot->behind();
        busy = !behind && generator.park_some();
      }
      if (!busy && !behind && !verified) {
        const auto more = model.forward->verify_some();
        if (!more) {
          if (lot) lot->forget_all();  // what it computed is as damaged
          return fail(more.error());
        }
        busy = *more;
        verified = !*more;
      }
      connection_.end_work();
      report(generator, lot.get());
      connection_.flush();
    }
    // Whoever swaps us out, or stops for the night, finds its agents' contexts again, also of those who were in the
    // middle of an answer.
    generator.cancel_all();
    if (!on_disk) return {};
    const int64_t left = generator.unparked_bytes() + lot->unwritten_bytes();
    const TimePoint enough = clock_.now() + farewell(left, lot->write_rate());
    while (clock_.now() < enough) {
      if (lot->behind()) {
        std::this_thread::sleep_for(kDiskPause);
      } else if (!generator.park_some()) {
        break;
      }
    }
    return {};
  }

  // Only where cells can be saved at all.
  std::unique_ptr<ParkingLot> parking_for(const ReadyModel& model, const LoadOptions& options) {
    if (options.park_memory.count <= 0 || !model.forward->limits().can_save) return nullptr;
    ParkingOptions settings;
    settings.memory = options.park_memory;
    settings.directory = options.park_directory;
    settings.disk = options.park_disk;
    settings.identity =
        fmt::format("{}|{}|{}|{}|{}", options.model_hash.empty() ? options.path : options.model_hash,
                    version_of(options.path), options.kv_type, model.state_format, model.loaded.chat_template);
    return std::make_unique<ParkingLot>(std::move(settings), clock_);
  }

  void report(const Generator& generator, ParkingLot* lot) {
    Heartbeat heartbeat = generator.heartbeat();
    neighbour_->report(heartbeat);
    pacer_->report(heartbeat);
    if (lot != nullptr) {
      lot->set_recompute_cost(generator.times().prompt_token_seconds());
      heartbeat.parked_memory = lot->memory_used();
      heartbeat.parked_disk = lot->disk_used();
    }
    connection_.set_heartbeat(heartbeat);
  }

  void handle(ReadyModel& model, Generator& generator, Embedder& embedder, RequestId id, Message message) {
    if (auto* generate = std::get_if<Generate>(&message)) {
      if (model.loaded.can_generate) return generator.start(id, std::move(*generate));
      refuse(id, {ErrorCode::unsupported, "this engine makes embeddings, it does not generate", {}});
    } else if (const auto* score = std::get_if<Score>(&message)) {
      if (model.loaded.can_generate) return generator.score(id, *score);
      refuse(id, {ErrorCode::unsupported, "this engine makes embeddings, it judges no text", {}});
    } else if (std::holds_alternative<Cancel>(message)) {
      generator.cancel(id);
      embedder.cancel(id);
    } else if (auto* embed = std::get_if<Embed>(&message)) {
      if (!model.loaded.can_generate) return embedder.start(id, std::move(*embed));
      refuse(id, {ErrorCode::unsupported, "this engine was loaded to generate, not for embeddings", {}});
    } else if (const auto* tokenize = std::get_if<Tokenize>(&message)) {
      answer(id, run_tokenize(model, *tokenize));
    } else {
      refuse(id, {ErrorCode::corrupt, fmt::format("a worker does not expect message kind {}", message.index()), {}});
    }
  }

  template <typename T>
  void answer(RequestId id, Result<T> result) {
    if (!result) return refuse(id, result.error());
    connection_.send(id, std::move(*result));
  }
  void refuse(RequestId id, const Error& error) { connection_.send(id, Failed{error}); }

  static Result<Tokens> run_tokenize(ReadyModel& model, const Tokenize& request) {
    std::string text = request.text;
    const bool chat = !request.messages.empty();
    if (chat) {
      SKEP_TRY(text, model.vocabulary->render(request.messages));
    }
    SKEP_TRY(std::vector<Token> tokens, model.vocabulary->tokenize(text, chat || request.add_special, chat));
    return Tokens{std::move(tokens)};
  }

  SystemClock clock_;
  std::optional<CpuPacer> pacer_;
  std::optional<GoodNeighbour> neighbour_;
  std::atomic<bool> stopping_{false};
  std::mutex forward_mutex_;
  Forward* forward_ = nullptr;
  Connection connection_;  // last: its thread uses the above
};

}  // namespace

int run_worker(int fd, const ModelLoader& load) {
  Worker worker(fd);
  return worker.run(load);
}

}  // namespace skep::engine
