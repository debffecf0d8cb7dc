// From a configuration to this rank among the others, and what every verb does that several ranks run.
#pragma once

#include <exception>
#include <type_traits>

#include "engine/train/data_parallel.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_listener.h"
#include "format/error.h"

namespace imgtrain {

// `listener` outlives what is made with them.
GradientSyncOptions sync_options(const RunConfig& config, RunListener& listener);

// Returns body()'s value; what it throws is told to the others first.
template <typename Body>
std::invoke_result_t<Body> telling_failure(GradientSync& sync, const Body& body) {
  try {
    return body();
  } catch (const imgpack::Error& error) {
    sync.fail(error);
    throw;
  } catch (const std::exception& error) {
    sync.fail(imgpack::Error(imgpack::ErrorKind::kInternal, error.what()));
    throw;
  }
}

// The same for the last that a process does with the others, of whom it then takes leave.
template <typename Body>
std::invoke_result_t<Body> reporting_failure(GradientSync& sync, const Body& body) {
  return telling_failure(sync, [&] {
    auto result = body();
    sync.finish_run();
    return result;
  });
}

}  // namespace imgtrain
