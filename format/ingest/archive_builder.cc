#include "format/ingest/archive_builder.h"

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>

#include "format/error.h"
#include "format/ingest/archive_tree.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/image_name.h"
#include "format/ingest/image_preparation.h"
#include "format/ingest/in_order_pipeline.h"
#include "format/ingest/part_manifest.h"
#include "format/ingest/spill_store.h"
#include "format/ingest/thread_limit.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

// Where a record waits.
struct Spilled {
  SpillStore* store = nullptr;  // None: it was not spilled, or is not wanted any more.
  uint64_t key = 0;
  SpillPlace place;
};

// What a pass kept of the images, by their position in the walk.
struct PassResult {
  ArchiveContents contents;
  std::vector<uint64_t> keys;  // order_key() of the guessed place; 0: of no split.
  std::vector<Spilled> spilled;
  std::unordered_map<size_t, SkippedSource> skipped;
  std::map<std::string, std::unique_ptr<SpillStore>> stores;  // By split.
};

// Which images are worth keeping: all but those in finished shards and of other hosts' parts.
class Wanted {
 public:
  explicit Wanted(bool any) : any_(any) {}
  void set_part(const PartSelection& part, const PackOptions& options) { part_ = part, options_ = &options; }
  void add_finished(const std::string& split, uint32_t number, uint32_t shards) {
    auto& of = finished_[split];
    of.resize(shards, false);
    if (number < shards) of[number] = true;
  }

  // Counts the image in, too: the number of shards so far is the least that there can be.
  bool operator()(const std::string& split, uint64_t key, uint64_t bytes) {
    if (!any_) return false;
    if (const auto at = finished_.find(split); at != finished_.end()) {
      if (at->second[shard_of_key(key, static_cast<uint32_t>(at->second.size()))]) return false;
    }
    if (!part_) return true;
    SplitSoFar& so_far = seen_[split];
    ++so_far.images;
    so_far.bytes += bytes;
    return part_->may_own(key, least_shards(split, so_far));
  }

 private:
  struct SplitSoFar {
    uint64_t images = 0, bytes = 0;
  };
  uint32_t least_shards(const std::string& split, const SplitSoFar& so_far) const {
    for (const std::string& name : {split, std::string()}) {
      if (const auto fixed = options_->shard_count.find(name); fixed != options_->shard_count.end())
        return std::max(1u, fixed->second);
    }
    return shard_count_for(so_far.bytes, so_far.images, options_->shard_bytes);
  }

  const bool any_;
  std::optional<PartSelection> part_;
  const PackOptions* options_ = nullptr;
  std::map<std::string, std::vector<bool>> finished_;
  std::map<std::string, SplitSoFar> seen_;
};

struct PassJob {
  FileSystem& fs;
  const ArchiveSet& archives;
  const path& out;
  const BuildOptions& options;
  BuildObserver& observer;
  const std::atomic<bool>& stop;
};

// One image on its way from the archive to the spill.
struct Item {
  size_t index = 0;
  std::string split;
  SourceImage image;
  uint64_t key = 0;
  std::vector<std::byte> bytes;  // Of the source, then of the record.
  std::optional<SkippedSource> skipped;
  MemoryBudget::Lease in_flight;
};

// Reads the archives through once.
class Pass {
 public:
  Pass(const PassJob& job, Wanted wanted, PlaceGuess guess)
      : job_(job),
        wanted_(std::move(wanted)),
        guess_(std::move(guess)),
        walk_(job.fs, job.archives),
        in_flight_(in_flight_budget_bytes(threads_in_use())),
        decoding_(decoding_budget_bytes(threads_in_use())) {}

  PassResult run() {
    job_.observer.on_reading(job_.archives.bytes());
    run_in_order<Item>(
        in_flight_, [this] { return next(); }, [this](Item& item) { prepare(item); },
        [this](Item& item) { keep(item); });
    if (job_.stop) {
      throw Error(ErrorKind::kInterrupted, "stopped while the archive was read: run the same command to read it again",
                  job_.archives.root);
    }
    for (auto& [split, store] : result_.stores) store->finish_adding();
    report(0);
    result_.contents = walk_.take_contents();
    result_.keys.resize(result_.contents.images.size());
    result_.spilled.resize(result_.contents.images.size());
    return std::move(result_);
  }

 private:
  std::unique_ptr<Item> next() {
    while (!job_.stop.load(std::memory_order_relaxed)) {
      const auto index = walk_.next();
      if (!index) break;
      report(1);
      const ArchivedImage& archived = walk_.contents().images[*index];
      auto place = guess_.place(archived.path, archived.bytes);
      const uint64_t key = place ? order_key(job_.options.pack.seed, place->split, place->image.name()) : 0;
      result_.keys.push_back(key);
      if (!place || !wanted_(place->split, key, archived.bytes)) {
        walk_.skip();
        continue;
      }
      auto item = std::make_unique<Item>();
      item->index = *index;
      item->split = std::move(place->split);
      item->image = std::move(place->image);
      item->key = key;
      item->skipped = refuse_name(item->split, item->image);
      if (item->skipped) {
        walk_.skip();
        return item;
      }
      item->in_flight = in_flight_.acquire(archived.bytes);
      item->bytes = walk_.read();
      return item;
    }
    return nullptr;
  }

  void prepare(Item& item) {
    if (item.skipped) return;
    auto prepared = prepare_image(item.split, item.image, std::move(item.bytes), job_.options.pack, decoding_);
    if (auto* skipped = std::get_if<SkippedSource>(&prepared)) {
      item.skipped = std::move(*skipped);
    } else {
      item.bytes = encode_record(std::get<Record>(prepared));
    }
  }

  void keep(Item& item) {
    if (item.skipped) {
      if (result_.skipped.size() >= job_.options.max_skipped) {
        throw Error(
            ErrorKind::kInvalidInput,
            "more than " + std::to_string(job_.options.max_skipped) +
                " images cannot be packed: is this the right source, and is its disk sound? The last of them: " +
                item.skipped->name + ": " + item.skipped->reason,
            job_.archives.root, {}, "--max-skipped raises the limit");
      }
      result_.skipped.emplace(item.index, *std::move(item.skipped));
      return;
    }
    auto& store = result_.stores[item.split];
    if (!store) {
      const uint32_t ranges = spill_ranges(job_.archives.bytes(), job_.options.pack.shard_bytes);
      store = std::make_unique<SpillStore>(job_.fs, job_.out, item.split, ranges);
    }
    if (result_.spilled.size() <= item.index) result_.spilled.resize(item.index + 1);
    result_.spilled[item.index] = {store.get(), item.key, store->add(item.key, item.bytes)};
  }

  void report(uint64_t images) {
    const uint64_t now = walk_.bytes_read();
    job_.observer.on_read(now - std::min(now, reported_), images);
    reported_ = now;
  }

  const PassJob& job_;
  Wanted wanted_;
  PlaceGuess guess_;
  ArchiveWalk walk_;
  MemoryBudget in_flight_, decoding_;
  uint64_t reported_ = 0;
  // keys belong to the first filter, the rest to the last.
  PassResult result_;
};

// What was read, recognised as a folder is.
struct Recognised {
  SourceScan scan;
  std::vector<std::vector<size_t>> index;  // Of every split's images: position in the walk.
  bool guessed_right = true;
};

std::vector<std::pair<std::string, std::string>> folders_of(const ArchiveTree& tree, const SourceScan& scan) {
  std::vector<std::pair<std::string, std::string>> folders;
  for (const SourceSplit& split : scan.splits)
    folders.emplace_back(split_folder_in_tree(scan, split, tree.root()), split.name);
  return folders;
}

Recognised recognise(ArchiveTree& tree, const PassResult& pass, const ArchiveSet& archives, uint64_t seed) {
  if (pass.contents.images.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "no image found in the archive: expected ILSVRC/Data/CLS-LOC, train/ and val/, or class folders with "
                "images",
                archives.root);
  }
  Recognised found;
  found.scan = scan_folder(tree, class_folder_root(tree, tree.root()));
  SourceScan& scan = found.scan;
  scan.description += ", streamed from " + archives.description();
  if (pass.contents.inner_archive_count > 0) {
    scan.description += " holding " + pass.contents.inner_archives.front();
    if (pass.contents.inner_archive_count > 1)
      scan.description += " and " + std::to_string(pass.contents.inner_archive_count - 1) + " more archives";
  }
  scan.ignored_files += pass.contents.ignored_files;
  scan.ignored_examples.insert(scan.ignored_examples.end(), pass.contents.ignored_examples.begin(),
                               pass.contents.ignored_examples.end());
  const auto folders = folders_of(tree, scan);
  for (size_t s = 0; s < scan.splits.size(); ++s) {
    std::vector<size_t> index;
    index.reserve(scan.splits[s].images.size());
    for (const SourceImage& image : scan.splits[s].images) {
      index.push_back(tree.image_at(folders[s].first + image.path));
      if (pass.keys[index.back()] != order_key(seed, scan.splits[s].name, image.name())) found.guessed_right = false;
    }
    found.index.push_back(std::move(index));
  }
  return found;
}

// Hands out what was spilled, in whatever order it is asked for.
class SpillReader : public ImageReader {
 public:
  SpillReader(PassResult pass, const std::vector<std::vector<size_t>>& index, const LabeledSource& source,
              const path& root)
      : stores_(std::move(pass.stores)), root_(root) {
    std::vector<bool> asked_for(pass.spilled.size(), false);
    for (size_t s = 0; s < source.scan.splits.size(); ++s) {
      OfSplit of;
      of.spilled.reserve(index[s].size());
      for (size_t i = 0; i < index[s].size(); ++i) {
        const size_t at = index[s][i];
        of.spilled.push_back(pass.spilled[at]);
        asked_for[at] = true;
        if (const auto skipped = pass.skipped.find(at); skipped != pass.skipped.end())
          of.skipped.emplace(i, std::move(skipped->second));
      }
      splits_.emplace(source.scan.splits[s].name, std::move(of));
    }
    // Images beside the splits.
    for (size_t at = 0; at < asked_for.size(); ++at) {
      if (!asked_for[at]) drop(pass.spilled[at]);
    }
  }

  // Records of shards that will not be packed: of finished ones, and of other parts.
  void drop(const SourceSplit& split, size_t image) { drop(splits_.at(split.name).spilled[image]); }

  std::vector<std::byte> read(const SourceSplit& split, const SourceImage&) override {
    throw Error(ErrorKind::kInternal, "images of an archive are not read twice: " + split.name, root_);
  }

  std::optional<PreparedImage> prepared(const SourceSplit& split, const SourceImage& image) override {
    const OfSplit& of = splits_.at(split.name);
    const auto index = static_cast<size_t>(&image - split.images.data());
    if (const auto skipped = of.skipped.find(index); skipped != of.skipped.end()) return skipped->second;
    const Spilled& spilled = of.spilled[index];
    if (spilled.store == nullptr) {
      throw Error(ErrorKind::kIo, "a shard that was finished is gone: its images were passed over", root_, {},
                  "run the same command again");
    }
    const auto bytes = spilled.store->read(spilled.key, spilled.place);
    const RecordView view = parse_record(bytes, "spilled record", spilled.place.offset);
    Record record;
    record.meta = view.meta;
    for (const SectionView& section : view.sections) {
      record.sections.push_back(
          {section.type, section.must_understand, std::vector<std::byte>(section.bytes.begin(), section.bytes.end())});
    }
    return PreparedImage(std::move(record));
  }

  uint64_t spilled_bytes() const override {
    uint64_t sum = 0;
    for (const auto& [split, store] : stores_) sum += store->bytes_on_disk();
    return sum;
  }

 private:
  struct OfSplit {
    std::vector<Spilled> spilled;
    std::unordered_map<size_t, SkippedSource> skipped;
  };

  static void drop(Spilled& spilled) {
    if (spilled.store != nullptr) spilled.store->drop(spilled.key);
    spilled = {};
  }

  std::map<std::string, std::unique_ptr<SpillStore>> stores_;
  std::map<std::string, OfSplit> splits_;
  path root_;
};

struct Reading {
  PassResult pass;
  Recognised found;
  LabeledSource source;
};

// One pass, or a second one where the first one's guesses were wrong.
Reading read_archives(const PassJob& job, const Wanted& wanted, bool keeps, const LabelOptions& labels) {
  Reading reading;
  PlaceGuess guess;
  for (int attempt = 0;; ++attempt) {
    reading.pass = {};  // The spill of a first attempt goes before a second one comes.
    reading.pass = Pass(job, wanted, guess).run();
    ArchiveTree tree(job.fs, job.archives.root, reading.pass.contents);
    reading.found = recognise(tree, reading.pass, job.archives, job.options.pack.seed);
    if (keeps && !reading.found.guessed_right) {
      if (attempt > 0) throw Error(ErrorKind::kInternal, "archive changes while it is read", job.archives.root);
      job.observer.on_note("how the archive is laid out is clear only at its end: it is read once more");
      guess = PlaceGuess(folders_of(tree, reading.found.scan));
      continue;
    }
    reading.source = label_source(tree, std::move(reading.found.scan), labels);
    reading.pass.contents = {};
    return reading;
  }
}

// What shards of an unfinished build are still good, told before its plan is known again.
Wanted wanted_of(FileSystem& fs, const path& out, const OutputHold& hold, const BuildOptions& options) {
  Wanted wanted(hold.found() == OutputState::kNew || hold.found() == OutputState::kUnfinished);
  if (options.part) wanted.set_part(*options.part, options.pack);
  const auto state = hold.state();
  if (!state) return wanted;
  for (const FinishedShard& shard : state->finished) {
    const auto found = intact_header(fs, out, shard, state->plan_id);
    if (const auto* header = std::get_if<ShardHeader>(&found))
      wanted.add_finished(shard.split, shard.number, header->shard_count);
  }
  return wanted;
}

// Before 166 GB are read, too: what is there must be of the same options. The rest of the plan is compared in build().
void refuse_other_options(FileSystem& fs, const path& out, const OutputHold& hold, const BuildOptions& options) {
  std::map<std::string, std::string> facts;
  if (const auto state = hold.state()) {
    facts = state->facts;
  } else if (hold.found() == OutputState::kFinished) {
    facts = manifest_facts(read_manifest(fs, out));
  } else if (hold.found() == OutputState::kFinishedPart) {
    facts = read_part_manifest(fs, out).finished.facts;
  } else {
    return;
  }
  std::map<std::string, std::string> there;
  auto now = option_texts(options.pack);
  if (options.part && hold.found() != OutputState::kFinished) now["part"] = options.part->text();
  for (const auto& [key, value] : facts) {
    if (now.contains(key) || (key == "part" && hold.found() != OutputState::kFinished)) there[key] = value;
  }
  const std::vector<std::string> lines = differences(there, now);
  if (lines.empty()) return;
  throw Error(ErrorKind::kInvalidInput, "a build with other options is here:" + joined_lines(lines), out, {},
              "name another folder, repeat the options, or build anew with --fresh");
}

// Before 166 GB are read: there must be room for what comes of them. A compressed archive of JPEGs is about as large
// as they are.
void check_space(FileSystem& fs, const ArchiveSet& archives, const path& out, const BuildOptions& options) {
  const auto expected = expected_shard_bytes(options.pack, archives.bytes());
  if (!expected) return;
  const uint64_t parts = options.part ? options.part->parts : 1;
  require_free_bytes(fs, out, *expected / parts);
}

}  // namespace

ArchiveBuild build_archives(FileSystem& fs, const ArchiveSet& archives, const LabelOptions& labels, const path& out,
                            const BuildOptions& options, BuildObserver& observer, const std::atomic<bool>& stop) {
  const OutputHold hold(
      fs, out, {options.fresh, options.lock}, [&] { check_space(fs, archives, out, options); },
      [&](const std::string& note) { observer.on_note(note); });
  refuse_other_options(fs, out, hold, options);
  const PassJob job{fs, archives, out, options, observer, stop};
  const Wanted wanted = wanted_of(fs, out, hold, options);
  const bool keeps = hold.found() == OutputState::kNew || hold.found() == OutputState::kUnfinished;
  Reading reading = read_archives(job, wanted, keeps, labels);
  observer.on_source(reading.source);
  SpillReader reader(std::move(reading.pass), reading.found.index, reading.source, archives.root);
  reading.found.index = {};
  if (keeps && options.part) {
    const PackPlan plan = make_plan(reading.source, options.pack);
    for (size_t s = 0; s < plan.splits.size(); ++s) {
      const PlannedSplit& split = plan.splits[s];
      for (uint32_t number = 0; number < split.shards(); ++number) {
        if (options.part->owns(number, split.shards())) continue;
        for (uint32_t at = split.first[number]; at < split.first[number + 1]; ++at)
          reader.drop(reading.source.scan.splits[s], split.order[at].image);
      }
    }
  }
  BuildResult result = build(fs, reading.source, reader, out, hold, options, observer, stop);
  return {std::move(result), std::move(reading.source)};
}

LabeledSource label_archives(FileSystem& fs, const ArchiveSet& archives, const LabelOptions& labels,
                             BuildObserver& observer, const std::atomic<bool>& stop) {
  const BuildOptions options;
  const path nowhere;
  const PassJob job{fs, archives, nowhere, options, observer, stop};
  return read_archives(job, Wanted(false), false, labels).source;
}

}  // namespace imgpack::ingest
