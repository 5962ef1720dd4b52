#include "engine/parking_lot.h"

#include <algorithm>
#include <fstream>
#include <functional>

#include "engine/parked_file.h"

namespace skep::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kQueuedWrites = 64;
constexpr size_t kBehind = 2;
constexpr double kWeight = 0.3;  // of the newest measurement

void learn(double& average, double value) { average += kWeight * (value - average); }

// Files of other options of the same model come into use again when those do.
constexpr auto kOthersKept = std::chrono::hours(24 * 7);

void drop_if_old(const fs::path& path) {
  std::error_code failed;
  const auto written = fs::last_write_time(path, failed);
  if (!failed && fs::file_time_type::clock::now() - written > kOthersKept) fs::remove(path, failed);
}

}  // namespace

ParkingLot::ParkingLot(ParkingOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {
  if (options_.directory.empty()) return;
  std::error_code failed;
  fs::create_directories(options_.directory, failed);
  if (failed) {
    options_.directory.clear();  // without a disk we are a memory
    return;
  }
  fs::permissions(options_.directory, fs::perms::owner_all, failed);  // they are conversations
  writer_ = std::thread([this] { write_behind(); });
}

ParkingLot::~ParkingLot() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
}

Parking::Ticket ParkingLot::put(const Scope& scope, std::span<const Token> prefix, int begin, std::string bytes) {
  const Bytes size(static_cast<int64_t>(bytes.size()));
  if (size > options_.memory) return 0;
  make_room(size);
  const Ticket ticket = next_++;
  Entry entry;
  entry.ticket = ticket;
  entry.tokens = static_cast<int>(prefix.size()) - begin;
  entry.size = size.count;
  entry.bytes = std::make_shared<const std::string>(std::move(bytes));
  memory_used_ += size;
  entry.age = ages_.insert(ages_.end(), ticket);
  if (!options_.directory.empty() && size <= options_.disk) {
    const ParkedHeader header{
        options_.identity, to_text(scope), scope.owner, {prefix.begin(), prefix.end()}, begin, 0, 0};
    const fs::path file = options_.directory / parked_file_name(header);
    if (const auto old = by_file_.find(file.string()); old != by_file_.end()) erase(old->second);
    trim_disk(size.count);
    const std::lock_guard lock(mutex_);
    if (writes_.size() < kQueuedWrites) {  // else the disk is too slow for us: this one stays in memory only
      entry.file = file;
      by_file_[file.string()] = ticket;
      disk_used_ += size.count;
      ++unwritten_[file.string()];
      unwritten_bytes_ += size.count;
      writes_.push_back({file, parked_header(header, *entry.bytes), entry.bytes});
      changed_.notify_all();
    }
  }
  entries_.emplace(ticket, std::move(entry));
  return ticket;
}

// Drops the longest unused from memory: to disk only where they are there, else for good.
void ParkingLot::make_room(Bytes bytes) {
  for (auto it = ages_.begin(); it != ages_.end() && memory_used_ + bytes > options_.memory;) {
    Entry& entry = entries_.at(*it++);
    if (!entry.bytes) continue;
    if (written(entry)) {
      entry.bytes.reset();
      memory_used_ -= Bytes(entry.size);
    } else {
      erase(entry.ticket);
    }
  }
}

bool ParkingLot::written(const Entry& entry) const {
  if (entry.file.empty()) return false;
  const std::lock_guard lock(mutex_);
  return !unwritten_.contains(entry.file.string());
}

void ParkingLot::trim_disk(int64_t more) {
  for (auto it = ages_.begin(); it != ages_.end() && disk_used_ + more > options_.disk.count;) {
    Entry& entry = entries_.at(*it++);
    if (entry.file.empty() || !written(entry)) continue;
    forget_file(entry);
    if (!entry.bytes) erase(entry.ticket);
  }
}

void ParkingLot::forget_file(Entry& entry) {
  std::error_code ignored;
  fs::remove(entry.file, ignored);
  by_file_.erase(entry.file.string());
  entry.file.clear();
  disk_used_ -= entry.size;
}

void ParkingLot::erase(Ticket ticket) {
  const auto at = entries_.find(ticket);
  if (at == entries_.end()) return;
  Entry& entry = at->second;
  if (entry.bytes) memory_used_ -= Bytes(entry.size);
  if (written(entry)) {
    forget_file(entry);
  } else if (!entry.file.empty()) {
    by_file_.erase(entry.file.string());
    disk_used_ -= entry.size;
    withdraw(entry.file.string());
  }
  ages_.erase(entry.age);
  entries_.erase(at);
}

// What waits to be written needs not be. One that is being written just now is a survivor for the next worker.
void ParkingLot::withdraw(const std::string& file) {
  const std::lock_guard lock(mutex_);
  const auto waiting = std::find_if(writes_.begin(), writes_.end(), [&](const Write& w) { return w.file == file; });
  if (waiting == writes_.end()) return;
  unwritten_bytes_ -= static_cast<int64_t>(waiting->bytes->size());
  writes_.erase(waiting);
  if (const auto at = unwritten_.find(file); --at->second == 0) unwritten_.erase(at);
}

void ParkingLot::touch(Entry& entry) {
  ages_.splice(ages_.end(), ages_, entry.age);
  // The next worker goes by it.
  std::error_code ignored;
  if (written(entry)) fs::last_write_time(entry.file, fs::file_time_type::clock::now(), ignored);
}

Result<std::shared_ptr<const std::string>> ParkingLot::get(Ticket ticket) {
  const auto at = entries_.find(ticket);
  if (at == entries_.end()) return fail(ErrorCode::not_found, "parked cells are gone");
  Entry& entry = at->second;
  touch(entry);
  if (entry.bytes) return entry.bytes;
  const TimePoint before = clock_.now();
  auto bytes = read_back(entry);
  if (!bytes) {
    erase(ticket);
    return fail(bytes.error());
  }
  const double took = seconds(clock_.now() - before);
  if (took > 0) learn(disk_rate_, static_cast<double>(entry.size) / took);
  return std::make_shared<const std::string>(std::move(*bytes));
}

Result<std::string> ParkingLot::read_back(const Entry& entry) const {
  const auto corrupt = [&] { return fail(ErrorCode::corrupt, fmt::format("{}: damaged", entry.file.string())); };
  std::ifstream file(entry.file, std::ios::binary);
  const auto header = read_parked_header(file);
  if (!header || header->bytes != static_cast<uint64_t>(entry.size)) return corrupt();
  if (header->identity != options_.identity) return corrupt();
  std::string bytes(static_cast<size_t>(entry.size), '\0');
  if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) return corrupt();
  if (parked_checksum(bytes) != header->checksum) return corrupt();
  return bytes;
}

bool ParkingLot::pays(Ticket ticket) const {
  const auto at = entries_.find(ticket);
  if (at == entries_.end()) return false;
  if (recompute_ <= 0) return true;
  const double per_byte = 1 / memory_rate_ + (at->second.bytes ? 0 : 1 / disk_rate_);
  return static_cast<double>(at->second.size) * per_byte < recompute_ * at->second.tokens;
}

void ParkingLot::restored(int64_t bytes, Duration took) {
  if (took > Duration::zero()) learn(memory_rate_, static_cast<double>(bytes) / seconds(took));
}

// What earlier workers left, the longest unused last.
std::vector<fs::path> ParkingLot::left_files() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  std::error_code failed;
  for (const auto& item : fs::directory_iterator(options_.directory, failed)) {
    if (item.path().extension() == ".kv") found.emplace_back(item.last_write_time(failed), item.path());
    if (item.path().extension() == ".part") fs::remove(item.path(), failed);  // half written by one that was killed
  }
  std::sort(found.begin(), found.end(), std::greater<>());
  std::vector<fs::path> files;
  for (auto& [used, path] : found) files.push_back(std::move(path));
  return files;
}

std::vector<ParkingLot::Survivor> ParkingLot::survivors() {
  std::vector<Survivor> found;
  if (options_.directory.empty()) return found;
  std::error_code failed;
  for (const fs::path& path : left_files()) {
    std::ifstream file(path, std::ios::binary);
    auto header = read_parked_header(file);
    if (!header) {
      fs::remove(path, failed);  // damaged, or of an older format
      continue;
    }
    if (header->identity != options_.identity) {
      drop_if_old(path);
      continue;
    }
    const auto size = static_cast<int64_t>(header->bytes);
    if (disk_used_ + size > options_.disk.count) {
      fs::remove(path, failed);
      continue;
    }
    const Ticket ticket = next_++;
    Entry entry;
    entry.ticket = ticket;
    entry.tokens = static_cast<int>(header->prefix.size()) - header->begin;
    entry.size = size;
    entry.file = path;
    by_file_[entry.file.string()] = ticket;
    entry.age = ages_.insert(ages_.begin(), ticket);
    disk_used_ += size;
    entries_.emplace(ticket, std::move(entry));
    Scope scope = scope_from(header->scope);
    scope.owner = std::move(header->owner);
    found.push_back({ticket, std::move(scope), std::move(header->prefix), header->begin});
  }
  std::sort(found.begin(), found.end(), [](const Survivor& a, const Survivor& b) {
    return std::pair(a.begin, a.prefix.size()) < std::pair(b.begin, b.prefix.size());
  });
  return found;
}

void ParkingLot::write_behind() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !writes_.empty(); });
    if (writes_.empty()) return;
    const Write write = std::move(writes_.front());
    writes_.pop_front();
    lock.unlock();
    const fs::path part = write.file.string() + ".part";
    const auto size = static_cast<int64_t>(write.bytes->size());
    const TimePoint before = SystemClock().now();  // clock_ is the caller's thread's
    bool good = false;
    {
      std::ofstream file(part, std::ios::binary | std::ios::trunc);
      file.write(write.header.data(), static_cast<std::streamsize>(write.header.size()));
      file.write(write.bytes->data(), static_cast<std::streamsize>(write.bytes->size()));
      file.flush();
      good = file.good();
    }
    std::error_code failed;
    if (good) fs::rename(part, write.file, failed);
    if (!good || failed) fs::remove(part, failed);  // read_back() finds nothing, and the entry is forgotten then
    const double took = seconds(SystemClock().now() - before);
    lock.lock();
    if (good && took > 0) learn(write_rate_, static_cast<double>(size) / took);
    unwritten_bytes_ -= size;
    const auto at = unwritten_.find(write.file.string());
    if (--at->second == 0) unwritten_.erase(at);
    changed_.notify_all();
  }
}

void ParkingLot::forget_all() {
  sync();
  while (!ages_.empty()) erase(ages_.front());
}

bool ParkingLot::behind() const {
  const std::lock_guard lock(mutex_);
  return writes_.size() >= kBehind;
}

void ParkingLot::sync() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return unwritten_.empty(); });
}

int64_t ParkingLot::room() const {
  return options_.directory.empty() ? options_.memory.count : std::max(options_.memory.count, options_.disk.count);
}

int64_t ParkingLot::unwritten_bytes() const {
  const std::lock_guard lock(mutex_);
  return unwritten_bytes_;
}

double ParkingLot::write_rate() const {
  const std::lock_guard lock(mutex_);
  return write_rate_;
}

Bytes ParkingLot::disk_used() const { return Bytes(disk_used_); }

}  // namespace skep::engine
