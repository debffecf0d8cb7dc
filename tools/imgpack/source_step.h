// The first step of build and plan: look at the source, read its labels, and tell the person what was found.
#pragma once

#include "format/ingest/labeling.h"
#include "tools/imgpack/pack_options.h"

namespace imgpack {

// Talks on standard error unless the command is quiet; warnings are said in any case.
ingest::LabeledSource look_at_source(const PackCommand& command);

}  // namespace imgpack
