// The verb `doctor` of both programs: what stands in the way on this machine, and what to do about it.
#pragma once

#include <functional>
#include <string>

#include "engine/doctor/facts.h"
#include "tools/cli/option_table.h"

namespace imgtrain {

// `add` completes the facts by what only the program itself knows: GPU and libtorch. It may be empty.
imgpack::cli::Verb make_doctor_verb(const std::string& program, std::function<void(doctor::Facts&)> add);

}  // namespace imgtrain
