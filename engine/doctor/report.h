// What doctor prints: lines for a person, or one JSON object (schemas/doctor_report.schema.json).
#pragma once

#include <string>
#include <vector>

#include "engine/doctor/findings.h"

namespace imgtrain::doctor {

// One line each, `ok    cpu.simd  …`, the fix below what needs one; the last line counts. `colour`: for a terminal.
std::string to_text(const std::vector<Finding>& findings, bool colour);

std::string to_json(const std::string& program, const Facts& facts, const std::vector<Finding>& findings);

}  // namespace imgtrain::doctor
