#include "tools/doctor/doctor_verb.h"

#include "tools/imgpack/verbs.h"

namespace imgpack {

cli::Verb doctor_verb() {
  return imgtrain::make_doctor_verb("imgpack", {});
}

}  // namespace imgpack
