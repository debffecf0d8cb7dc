// When a request that failed is made again. Pure: what was tried and for how long goes in, the pause comes out.
//
//   pause before repetition n = step * 2^(n-1), at most `longest_s`, times 0.5 … 1 by a hash of (key, n)
//
// The hash stands where others draw a random number: hosts that were turned away together (their keys differ) come back
// at different moments, and the same run pauses the same way again. AWS's "exponential backoff and jitter", equal
// jitter.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace imgpack::remote {

struct RetryPolicy {
  double step_s = 0.1;
  double throttled_step_s = 0.5;  // Where the server says that it is asked too often (429, 503).
  double longest_s = 20;
  double total_s = 300;  // From the first attempt on; 0: no repetition at all.
};

struct FailedAttempts {
  uint32_t count = 1;  // So far.
  double elapsed_s = 0;
  bool throttled = false;               // The last one.
  std::optional<double> retry_after_s;  // The last answer's own wish.
};

// Seconds to wait before the next attempt; nullopt: give up, the time is over or would be by then.
std::optional<double> pause_before_retry(const RetryPolicy& policy, const FailedAttempts& failed, uint64_t key);

// The header's value: seconds, or a date of HTTP (`now_s`: seconds since 1970). nullopt: neither.
std::optional<double> parse_retry_after(std::string_view value, int64_t now_s);

// Whether an answer of this status may be another the next time: 408, 425, 429, 500, 502, 503, 504, 509.
bool is_transient_status(long status);
bool is_throttling_status(long status);  // 429, 503, 509

}  // namespace imgpack::remote
