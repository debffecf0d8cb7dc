// Any text as each kind of label file. The first byte chooses the kind.
#include <cstdlib>
#include <string>

#include "format/error.h"
#include "format/ingest/csv_reader.h"
#include "format/ingest/devkit.h"
#include "format/ingest/label_table.h"
#include "format/ingest/list_source.h"
#include "format/ingest/real_labels.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace imgpack::ingest;

constexpr int kKinds = 13;

void parse(int kind, const std::string& text) {
  switch (kind) {
    case 0:
      parse_loc_solution(text, "LOC_val_solution.csv");
      return;
    case 1:
      parse_synset_mapping(text, "LOC_synset_mapping.txt");
      return;
    case 2:
      parse_image_set(text, "val.txt");
      return;
    case 3:
      if (parse_annotation(text, "x.xml").empty()) std::abort();
      return;
    case 8:
      parse_label_list(text, "labels.csv");
      return;
    case 9:
      parse_ground_truth(text, "ground_truth.txt");
      return;
    case 10:
      parse_id_map(text, "map.txt");
      return;
    case 11:
      parse_valprep_script(text, "valprep.sh");
      return;
    case 12:
      parse_real_labels(text, "real.json");
      return;
    case 4:
    case 5:
      for (const ListedImage& image : parse_image_list(text, kind == 4 ? ',' : '\t', "list.csv")) {
        if (image.path.empty() || (image.split != "train" && image.split != "val" && image.split != "test"))
          std::abort();
      }
      return;
    default: {
      // Fields never add up to more than the text.
      CsvReader rows(text, kind == 6 ? ',' : '\t', "x.csv");
      std::vector<std::string> fields;
      size_t bytes = 0;
      while (rows.next(fields)) {
        for (const std::string& field : fields) bytes += field.size();
      }
      if (bytes > text.size()) std::abort();
    }
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    parse(data[0] % kKinds, std::string(reinterpret_cast<const char*>(data + 1), size - 1));
  } catch (const imgpack::Error& error) {
    if (error.kind() != imgpack::ErrorKind::kInvalidInput) std::abort();
  }
  return 0;
}
