// imgtrain export --space: a model as a folder that is pushed to become a web page (engine/serve/space.h).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/export/portable/export_request.h"

namespace imgtrain {

struct SpaceRequest {
  ExportRequest model;             // Its `out` and `formats` are not looked at.
  std::filesystem::path folder;    // Appears whole.
  std::string image;               // Container image with the programs.
  std::filesystem::path examples;  // Folder of images for the page; empty: none.
};

// Returns the files of the folder. Throws Error(kInvalidInput) where it is there already and not empty, and as
// export_model() does.
std::vector<ExportedFile> export_space(imgpack::FileSystem& fs, const SpaceRequest& request,
                                       const std::function<void(const std::string&)>& warn);

}  // namespace imgtrain
