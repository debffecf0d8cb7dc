#include "tools/doctor/doctor_verb.h"

#include "engine/doctor/probe.h"
#include "tools/imgtrain/torch_facts.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {

imgpack::cli::Verb doctor_verb() {
  return make_doctor_verb("imgtrain", [](doctor::Facts& facts) {
    facts.gpu = doctor::probe_gpus();
    facts.torch = torch_facts();
  });
}

}  // namespace imgtrain
