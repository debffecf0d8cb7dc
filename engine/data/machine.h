// What the machine's processor is, and how much of it this process may use. Any thread.
#pragma once

#include <string>

namespace imgtrain::data {

// As /proc/cpuinfo calls it; "unknown CPU" where it does not.
std::string cpu_name();

// Cores that this process may run on (its affinity); at least 1.
int usable_cores();

}  // namespace imgtrain::data
