#include "engine/export/space_export.h"

#include <span>
#include <utility>

#include "engine/serve/examples.h"
#include "engine/serve/space.h"
#include "format/error.h"
#include "format/staged_folder.h"

namespace imgtrain {
namespace {

constexpr uint64_t kMaxCardBytes = uint64_t{4} << 20;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

std::vector<ExportedFile> export_space(imgpack::FileSystem& fs, const SpaceRequest& request,
                                       const std::function<void(const std::string&)>& warn) {
  serve::require_container_image(request.image);  // Before weights are read and written for nothing.
  std::vector<serve::Example> examples;
  if (!request.examples.empty()) examples = serve::read_examples(fs, request.examples, warn);
  imgpack::StagedFolder staged(fs, request.folder);
  ExportRequest model = request.model;
  model.out = staged.place("model/card").parent_path();
  model.formats = {ExportFormat::kSafetensors, ExportFormat::kCard};
  serve::SpaceDescription space;
  std::vector<ExportedFile> written;
  for (ExportedFile& file : export_model(fs, model, warn)) {
    const std::string name = file.path.filename().string();
    if (file.format == "safetensors") space.weights = name;
    if (file.path.extension() == ".md") space.card = imgpack::read_text(fs, file.path, kMaxCardBytes);
    file.path = request.folder / "model" / name;
    written.push_back(std::move(file));
  }
  space.title = std::filesystem::path(space.weights).stem().string();
  space.image = request.image;
  space.examples = !examples.empty();
  const auto write = [&](const std::filesystem::path& name, const std::string& text, const char* format) {
    staged.write(name, bytes_of(text));
    written.push_back({request.folder / name, format, text.size()});
  };
  for (const auto& [name, text] : serve::space_files(space)) write(name, text, "space");
  const std::vector<std::string> names = serve::example_file_names(examples);
  for (size_t i = 0; i < examples.size(); ++i)
    write(std::filesystem::path("examples") / names[i], examples[i].bytes, "example");
  staged.commit();
  return written;
}

}  // namespace imgtrain
