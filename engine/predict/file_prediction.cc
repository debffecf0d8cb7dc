#include "engine/predict/file_prediction.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

constexpr std::array<std::string_view, 5> kEndings = {".jpg", ".jpeg", ".png", ".webp", ".bmp"};

bool ends_like_an_image(const std::string& name) {
  std::string ending = std::filesystem::path(name).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

void add_images_below(imgpack::FileSystem& fs, const std::filesystem::path& folder, std::vector<std::string>& files) {
  for (const imgpack::DirectoryEntry& entry : fs.list(folder)) {
    if (entry.name.starts_with('.')) continue;
    if (entry.is_directory) {
      if (!entry.is_link) add_images_below(fs, folder / entry.name, files);  // A link may lead in a circle.
    } else if (ends_like_an_image(entry.name)) {
      files.push_back((folder / entry.name).string());
    }
  }
}

std::vector<std::byte> read_file(imgpack::FileSystem& fs, const std::string& name) {
  const auto file = fs.open(name);
  if (file->size() > kMaxImageFileBytes) {
    throw Error(ErrorKind::kInvalidInput,
                "this file is too large for an image: " + std::to_string(file->size()) + " bytes, more than " +
                    std::to_string(kMaxImageFileBytes),
                name);
  }
  std::vector<std::byte> bytes(file->size());
  imgpack::read_exactly(*file, 0, bytes);
  return bytes;
}

// The reason alone: whoever prints it names the file.
std::string reason_of(const Error& error) {
  return error.message();
}

}  // namespace

bool predict_files(imgpack::FileSystem& fs, std::span<const std::string> names, const Predictor& predictor, int64_t k,
                   const std::function<bool()>& stop, const TakeFilePrediction& take) {
  for (size_t first = 0; first < names.size(); first += kFilesPerBatch) {
    if (stop()) return false;
    const auto batch = names.subspan(first, std::min(kFilesPerBatch, names.size() - first));
    std::vector<FilePrediction> answers(batch.size());
    std::vector<PreparedImage> images(batch.size());
    tbb::parallel_for(size_t{0}, batch.size(), [&](size_t i) {
      answers[i].name = batch[i];
      try {
        images[i] = predictor.image(read_file(fs, batch[i]), batch[i]);
        answers[i].width = images[i].width;
        answers[i].height = images[i].height;
      } catch (const Error& error) {
        answers[i].error = reason_of(error);
      }
    });
    std::vector<PreparedImage> sound;
    for (size_t i = 0; i < batch.size(); ++i)
      if (answers[i].error.empty()) sound.push_back(std::move(images[i]));
    auto guesses = predictor.predict(sound, k);
    size_t next = 0;
    for (FilePrediction& answer : answers) {
      if (answer.error.empty()) answer.guesses = std::move(guesses[next++]);
      take(std::move(answer));
    }
  }
  return true;
}

FilePrediction predict_bytes(std::span<const std::byte> bytes, const std::string& name, const Predictor& predictor,
                             int64_t k) {
  FilePrediction answer;
  answer.name = name;
  try {
    const PreparedImage image = predictor.image(bytes, name);
    answer.width = image.width;
    answer.height = image.height;
    answer.guesses = std::move(predictor.predict({&image, 1}, k).front());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInvalidInput) throw;
    answer.error = reason_of(error);
  }
  return answer;
}

std::vector<std::string> image_files(imgpack::FileSystem& fs, std::span<const std::string> named) {
  std::vector<std::string> files;
  for (const std::string& name : named) {
    // What cannot even be asked about, such as a name that is too long, is said when it is opened, in its place.
    std::error_code unknown;
    if (!std::filesystem::is_directory(name, unknown)) {
      files.push_back(name);
      continue;
    }
    const size_t before = files.size();
    add_images_below(fs, name, files);
    if (files.size() == before) {
      throw Error(ErrorKind::kInvalidInput, "expected images in the folder (jpg, jpeg, png, webp, bmp), found none",
                  name);
    }
  }
  return files;
}

}  // namespace imgtrain
