// The manifest, label sets and the strict JSON under them.
#include "format/manifest.h"

#include <gtest/gtest.h>

#include "format/checksum.h"
#include "format/label_set.h"
#include "format/sealed_json.h"
#include "format/strict_json.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

class ManifestFile : public ::testing::Test {
 protected:
  ManifestFile() : manifest_(test::write_tiny_dataset(fs_, "tiny.shards")), text_(to_json(manifest_)) {}

  // The manifest with `from` replaced by `to`, and its checksum made right again.
  std::string with(const std::string& from, const std::string& to) {
    std::string body = text_;
    const size_t at = body.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    body.replace(at, from.size(), to);
    return seal_json(body.substr(0, body.rfind("  \"checksum\"")));
  }
  Manifest parse(const std::string& text) { return parse_manifest(text, "manifest.json"); }

  test::MemoryFileSystem fs_;
  Manifest manifest_;
  std::string text_;
};

TEST_F(ManifestFile, ReadsBackAndWritesTheSameText) {
  const Manifest back = parse(text_);
  EXPECT_EQ(to_json(back), text_);
  EXPECT_EQ(back.splits[0].shards[1].digest, manifest_.splits[0].shards[1].digest);
  EXPECT_EQ(back.options, manifest_.options);
  EXPECT_EQ(back.provenance, manifest_.provenance);
}

TEST_F(ManifestFile, LargestSeedSurvives) {
  manifest_.seed = UINT64_MAX;
  manifest_.dataset_id = compute_dataset_id(manifest_);
  EXPECT_EQ(parse(to_json(manifest_)).seed, UINT64_MAX);
}

TEST_F(ManifestFile, UnknownKeyIsNamed) {
  EXPECT_ERROR(parse(with("\"seed\": 7", "\"seed\": 7, \"sed\": 7")), ErrorKind::kCorruption, "sed: unknown key");
  EXPECT_ERROR(parse(with("\"plan_bytes\"", "\"x\": 1, \"plan_bytes\"")), ErrorKind::kCorruption,
               "index.x: unknown key");
  EXPECT_ERROR(parse(with("\"wnid\": \"n01443537\"", "\"wnid\": \"n01443537\", \"y\": 1")), ErrorKind::kCorruption,
               "classes[1].y: unknown key");
}

TEST_F(ManifestFile, MissingKeyIsNamed) {
  EXPECT_ERROR(parse(with("\"seed\": 7,", "")), ErrorKind::kCorruption, "seed: expected a value, found no such key");
  EXPECT_ERROR(parse(with("\"labeled\": true, ", "")), ErrorKind::kCorruption, "splits[0].labeled: expected a value");
}

TEST_F(ManifestFile, MistypedKeyNamesWhatWasExpectedAndFound) {
  EXPECT_ERROR(parse(with("\"records\": 40", "\"records\": \"40\"")), ErrorKind::kCorruption,
               "splits[0].records: expected a whole number from 0, found a string");
  EXPECT_ERROR(parse(with("\"records\": 40", "\"records\": -1")), ErrorKind::kCorruption, "found -1");
  EXPECT_ERROR(parse(with("\"records\": 40", "\"records\": 40.5")), ErrorKind::kCorruption, "found a real number");
  EXPECT_ERROR(parse(with("\"labeled\": true", "\"labeled\": 1")), ErrorKind::kCorruption, "expected true or false");
  EXPECT_ERROR(parse(with("\"skipped\": []", "\"skipped\": {}")), ErrorKind::kCorruption, "expected an array");
  EXPECT_ERROR(parse(with("\"resize\": \"none\"", "\"resize\": null")), ErrorKind::kCorruption,
               "options.resize: expected a string, found null");
  EXPECT_ERROR(parse(with("\"plan_id\": \"0123", "\"plan_id\": \"X123")), ErrorKind::kCorruption,
               "plan_id: expected 16 lower-case hexadecimal digits");
}

TEST_F(ManifestFile, ContradictionsAreDamage) {
  EXPECT_ERROR(parse(with("\"records\": 40", "\"records\": 41")), ErrorKind::kCorruption,
               "the sum over its shards, 40");
  EXPECT_ERROR(parse(with("train-00001.ipk", "train-00002.ipk")), ErrorKind::kCorruption,
               "splits[0].shards[1].file: expected 'train-00001.ipk'");
  EXPECT_ERROR(parse(with("\"name\": \"val\"", "\"name\": \"train\"")), ErrorKind::kCorruption, "expected");
  EXPECT_ERROR(parse(with("\"n01443537\"", "\"n01443538\"")), ErrorKind::kCorruption,
               "dataset_id: expected the id of what the manifest describes");
}

TEST_F(ManifestFile, FileNamesCannotLeaveTheFolder) {
  EXPECT_ERROR(parse(with("\"index.ipx\"", "\"../index.ipx\"")), ErrorKind::kCorruption,
               "index.file: expected a file name without folders");
  EXPECT_ERROR(parse(with("\"index.ipx\"", "\"/etc/passwd\"")), ErrorKind::kCorruption, "without folders");
}

TEST_F(ManifestFile, NewerMajorVersionIsUnsupported) {
  EXPECT_ERROR(parse(with("{\"major\": 1, \"minor\": 0}", "{\"major\": 2, \"minor\": 0}")),
               ErrorKind::kUnsupportedVersion, "format version 2.0: expected version 1");
}

TEST_F(ManifestFile, NewerMinorVersionMayHaveFurtherKeys) {
  const std::string newer = with("{\"major\": 1, \"minor\": 0},", "{\"major\": 1, \"minor\": 3},\n  \"later\": [1],");
  EXPECT_EQ(parse(newer).format_minor, 3u);
}

TEST_F(ManifestFile, EditedTextIsDamage) {
  std::string edited = text_;
  edited.replace(edited.find("goldfish"), 8, "Goldfish");
  EXPECT_ERROR(parse(edited), ErrorKind::kCorruption, "file checksum mismatch");
  EXPECT_ERROR(parse(text_ + "\n"), ErrorKind::kCorruption, "does not end in its checksum line");
  EXPECT_ERROR(parse(""), ErrorKind::kCorruption, "does not end in its checksum line");
  EXPECT_ERROR(parse(seal_json("{\n  \"format\": \"imgpack.dataset\" \"x\",\n")), ErrorKind::kCorruption, "not JSON");
  EXPECT_ERROR(parse(seal_json("{\n  \"format\": \"something\",\n")), ErrorKind::kCorruption,
               "format: expected 'imgpack.dataset'");
}

TEST_F(ManifestFile, DeepNestingIsAnErrorNotAStackOverflow) {
  std::string deep = "{\n  \"format\": ";
  deep += std::string(100'000, '[') + std::string(100'000, ']') + ",\n";
  EXPECT_ERROR(parse(seal_json(deep)), ErrorKind::kCorruption, "not JSON");
}

TEST_F(ManifestFile, WithAnotherIdIsNotWritten) {
  manifest_.dataset_id = "0123456789abcdef";
  EXPECT_ERROR(to_json(manifest_), ErrorKind::kInternal, "dataset_id");
}

TEST_F(ManifestFile, TextThatIsNotUtf8IsWrittenReadably) {
  manifest_.skipped = {{"train", "caf\xe9.jpg", "bad \"quotes\"\n", ""}};
  const Manifest back = parse(to_json(manifest_));
  EXPECT_EQ(back.skipped[0].name, "caf\\xe9.jpg");
  EXPECT_EQ(back.skipped[0].reason, "bad \"quotes\"\n");
}

TEST_F(ManifestFile, DatasetIdIgnoresShardBordersAndKnowsContent) {
  const std::vector<Record> train = test::make_records("train", 40), val = test::make_records("val", 6);
  const auto id = [](const std::vector<test::SplitRecords>& splits, const test::TinyOptions& options = {}) {
    test::MemoryFileSystem fs;
    return test::write_dataset(fs, "x.shards", splits, options).dataset_id;
  };
  EXPECT_EQ(id({{"train", train, 5, true}, {"val", val, 2, true}}), manifest_.dataset_id);
  test::TinyOptions other;
  other.plan_id = 99;
  EXPECT_EQ(id({{"train", train, 5, true}, {"val", val, 2, true}}, other), manifest_.dataset_id);
  other.seed = 8;
  EXPECT_NE(id({{"train", train, 5, true}, {"val", val, 2, true}}, other), manifest_.dataset_id);
  std::vector<Record> changed = train;
  changed[4].sections[0].bytes[0] ^= std::byte{1};
  EXPECT_NE(id({{"train", changed, 3, true}, {"val", val, 1, true}}), manifest_.dataset_id);
  EXPECT_NE(id({{"train", train, 3, true}}), manifest_.dataset_id);
}

TEST(LabelSetFile, ReadsBack) {
  test::MemoryFileSystem fs;
  fs.make_directories("d");
  const LabelSet set{"real", "val", 1000, 0xabcdef, {{65, 795}, {}, {970}}};
  const LabelSetInfo info = publish_label_set(fs, "d", set);
  EXPECT_EQ(info.file, "labels-real.json");
  const LabelSet back = read_label_set(fs, "d", info);
  EXPECT_EQ(back.labels, set.labels);
  EXPECT_EQ(back.classes, 1000u);
  EXPECT_EQ(back.ids, 0xabcdefu);
}

TEST(LabelSetFile, OfAnotherDigestOrNameIsDamage) {
  test::MemoryFileSystem fs;
  fs.make_directories("d");
  LabelSetInfo info = publish_label_set(fs, "d", {"real", "val", 3, 1, {{0}}});
  LabelSetInfo other = info;
  other.digest ^= 1;
  EXPECT_ERROR(read_label_set(fs, "d", other), ErrorKind::kCorruption, "label set digest mismatch");
  other = info;
  other.split = "train";
  EXPECT_ERROR(read_label_set(fs, "d", other), ErrorKind::kCorruption, "label set is another one");
  fs.remove("d/labels-real.json");
  EXPECT_ERROR(read_label_set(fs, "d", info), ErrorKind::kIo, "cannot open");
}

TEST(LabelSetFile, LabelsOutOfRangeOrOrderAreNotWritten) {
  EXPECT_ERROR(to_json(LabelSet{"real", "val", 3, 1, {{3}}}), ErrorKind::kInvalidInput, "ascending labels below 3");
  EXPECT_ERROR(to_json(LabelSet{"real", "val", 3, 1, {{-1}}}), ErrorKind::kInvalidInput, "found -1");
  EXPECT_ERROR(to_json(LabelSet{"real", "val", 3, 1, {{1, 1}}}), ErrorKind::kInvalidInput, "ascending");
  EXPECT_ERROR(to_json(LabelSet{"../x", "val", 3, 1, {{1}}}), ErrorKind::kInvalidInput, "name: expected");
}

}  // namespace
}  // namespace imgpack
