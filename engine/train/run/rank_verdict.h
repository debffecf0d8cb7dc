// What ranks say of themselves, and what follows from it: who is lost, who stands still, who failed. Pure functions.
//
//   RankRecord of each rank --(store)--> RankSight (with how long ago) --judge_ranks--> Verdict, or none
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/error.h"

namespace imgtrain {

enum class RankStage : int {
  kStarting = 0,
  kReading = 1,
  kDecoding = 2,
  kCompute = 3,
  kCommunication = 4,
  kSaving = 5,
  kDone = 6,  // Ended well: nothing more is heard of it.
};
const char* name_of(RankStage stage);  // `reading`

// How a rank ended early. `follows`: because of another rank, which is the one to be named.
struct RankFailure {
  imgpack::ErrorKind kind = imgpack::ErrorKind::kIo;
  bool follows = false;
  std::string message;
  bool operator==(const RankFailure&) const = default;
};

struct RankRecord {
  uint64_t beat = 0;      // Grows while the process lives.
  uint64_t progress = 0;  // Grows with every change of stage.
  uint64_t step = 0;      // Of training.
  RankStage stage = RankStage::kStarting;
  std::string host;
  std::optional<RankFailure> failure = {};
  bool operator==(const RankRecord&) const = default;
};

std::string to_text(const RankRecord& record);
// nullopt: not such a text. Lengths are limited: it comes over the network.
std::optional<RankRecord> rank_record_from(std::string_view text);

// A rank as another one sees it, by its own clock.
struct RankSight {
  RankRecord record;
  double silent_seconds = 0;    // Since its beat last grew.
  double in_stage_seconds = 0;  // Since its progress last grew.
};

struct RankLimits {
  double silence_seconds = 15;  // Of a process: nothing but death, a stop or a cut wire makes it that quiet.
  double stage_seconds = 300;   // In one stage.
};

struct Verdict {
  imgpack::ErrorKind kind = imgpack::ErrorKind::kIo;
  std::vector<int> ranks;  // The culprits.
  std::string message;     // `rank 2 of 4 on b (10.0.0.2) is lost: silent for 15 s, last seen in compute at step 12`
};

// In this order: a rank that failed by itself; ranks that are silent; ranks that stand still. Of those that stand still
// the ones in communication wait for somebody: they are named only where everybody is there, and of them those that
// came least far.
std::optional<Verdict> judge_ranks(const std::vector<RankSight>& ranks, const RankLimits& limits);

// After an exchange broke: the rank that failed by itself; else, with `patience_over`, the one silent for longest where
// that is more than a few beats. nullopt: nothing is known (yet).
std::optional<Verdict> blame_rank(const std::vector<RankSight>& ranks, bool patience_over);

}  // namespace imgtrain
