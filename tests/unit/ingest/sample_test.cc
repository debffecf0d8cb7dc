#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "format/ingest/folder_source.h"
#include "format/ingest/image_normaliser.h"
#include "format/ingest/labeling.h"
#include "format/ingest/sample_encoder.h"
#include "format/ingest/sample_picture.h"
#include "format/ingest/sample_random.h"
#include "format/ingest/sample_set.h"
#include "format/jpeg/image_decoder.h"
#include "format/jpeg/jpeg_probe.h"
#include "tests/support/expect_error.h"

namespace imgpack::ingest {
namespace {

TEST(SampleRandom, SineAndAngleAreCloseToTheTrueOnes) {
  const double turn = 2 * std::acos(-1.0);
  for (int angle = -kTurn; angle < 2 * kTurn; angle += 7) {
    EXPECT_NEAR(sine(angle), kOne * std::sin(turn * angle / kTurn), kOne * 0.003) << angle;
    const int x = cosine(angle), y = sine(angle);
    const double off = std::remainder(angle_of(x, y) - angle, kTurn);
    EXPECT_NEAR(off, 0, 4) << angle;
  }
}

TEST(SampleRandom, RootIsTheFloorOfTheSquareRoot) {
  for (int64_t root : {0, 1, 2, 46340, 1'000'000}) {
    EXPECT_EQ(root_of(root * root), root);
    EXPECT_EQ(root_of(root * root + 2 * root), root);
  }
}

TEST(SampleRandom, NoiseIsSmoothAndCoversItsRange) {
  int least = 255, most = 0;
  for (int x = -500; x < 500; ++x) {
    const int value = smooth_noise(1, x, 3, 20);
    EXPECT_LE(std::abs(value - smooth_noise(1, x + 1, 3, 20)), 20);
    least = std::min(least, value);
    most = std::max(most, value);
  }
  EXPECT_LT(least, 60);
  EXPECT_GT(most, 195);
}

TEST(SamplePicture, SameArgumentsGiveTheSamePictureAndOthersAnother) {
  const auto picture = draw_sample(3, 40, 30, 5);
  EXPECT_EQ(picture.rgb.size(), 40u * 30 * 3);
  EXPECT_EQ(draw_sample(3, 40, 30, 5).rgb, picture.rgb);
  EXPECT_NE(draw_sample(3, 40, 30, 6).rgb, picture.rgb);
}

TEST(SamplePicture, AClassChangesTheObjectAlone) {
  // With one seed, pictures of two classes agree wherever the object is not.
  const auto stripes = draw_sample(0, 60, 60, 9).rgb, dots = draw_sample(2, 60, 60, 9).rgb;
  size_t same = 0;
  for (size_t i = 0; i < stripes.size(); ++i) same += stripes[i] == dots[i] ? 1 : 0;
  EXPECT_GT(same, stripes.size() / 3);
  EXPECT_LT(same, stripes.size());
}

TEST(SamplePicture, OnePixelIsAPicture) {
  EXPECT_EQ(draw_sample(0, 1, 1, 1).rgb.size(), 3u);
}

TEST(SampleEncoder, EachKindIsWhatItSays) {
  const auto picture = draw_sample(1, 50, 40, 2);
  const auto probe = [&](SampleEncoding encoding) {
    return jpeg::probe_jpeg(encode_sample(picture, {.encoding = encoding}));
  };
  EXPECT_TRUE(probe(SampleEncoding::kJpeg)->baseline);
  EXPECT_EQ(probe(SampleEncoding::kGray)->components, 1);
  EXPECT_EQ(probe(SampleEncoding::kCmyk)->colour, jpeg::ColourModel::kCmyk);
  EXPECT_FALSE(probe(SampleEncoding::kPng));
  EXPECT_EQ(probe(SampleEncoding::kExifOrientation)->exif_orientation, 6);
  EXPECT_TRUE(probe(SampleEncoding::kProgressive)->progressive);
  EXPECT_EQ(probe(SampleEncoding::kRestartMarkers)->restart_interval, 5);
}

TEST(SampleEncoder, CmykComesBackInItsColours) {
  SamplePicture flat{16, 16, {}};
  for (int i = 0; i < 256; ++i) flat.rgb.insert(flat.rgb.end(), {200, 100, 50});
  const auto converted = normalise_image(encode_sample(flat, {.encoding = SampleEncoding::kCmyk, .quality = 98}), {});
  const auto* image = std::get_if<NormalisedImage>(&converted);
  ASSERT_NE(image, nullptr);
  std::vector<uint8_t> rgb(16 * 16 * 3);
  jpeg::SampleWindow whole{.use_width = 16, .use_height = 16, .x1 = 16, .y1 = 16};
  jpeg::make_reference_decoder()->decode(image->jpeg, {}, whole, 16, 16, jpeg::Filter::kBilinear, rgb.data());
  EXPECT_NEAR(rgb[0], 200, 4);
  EXPECT_NEAR(rgb[1], 100, 4);
  EXPECT_NEAR(rgb[2], 50, 4);
}

// Samples are made on the real disk: they are renamed as a folder.
class SampleSetTest : public testing::Test {
 protected:
  SampleSetTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("sample_set_" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + "_" +
                 ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~SampleSetTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  SampleOptions small_{.classes = 3, .train = 12, .val = 6, .test = 3, .size = 24};
};

TEST_F(SampleSetTest, IsASourceWhoseLabelsAgreeAndWhoseClassesAreSpreadEvenly) {
  const SampleReport report = write_sample_set(posix_file_system(), folder_ / "s", small_);
  EXPECT_EQ(report.images, 21u);
  EXPECT_EQ(report.odd_images.size(), 8u);
  const LabeledSource source = label_source(posix_file_system(), scan_folder(posix_file_system(), folder_ / "s"));
  EXPECT_EQ(source.scan.kind, SourceKind::kKaggle);
  EXPECT_EQ(source.splits[1].sources.size(), 2u);
  EXPECT_TRUE(source.missing.empty());
  std::map<int32_t, int> count;
  for (int32_t label : source.splits[0].labels) ++count[label];
  EXPECT_THAT(count, testing::ElementsAre(testing::Pair(0, 4), testing::Pair(1, 4), testing::Pair(2, 4)));
  EXPECT_FALSE(source.splits[2].labeled);
}

TEST_F(SampleSetTest, DamagedImagesAreQuarantined) {
  small_.damaged = 3;
  const SampleReport report = write_sample_set(posix_file_system(), folder_ / "s", small_);
  std::set<std::string> reasons;
  for (const auto& [file, what] : report.odd_images) {
    const std::string text = read_text(posix_file_system(), folder_ / "s" / file, 1 << 20);
    const auto bytes = std::as_bytes(std::span(text));
    const auto result = normalise_image({bytes.begin(), bytes.end()}, {});
    if (const auto* quarantine = std::get_if<Quarantine>(&result))
      reasons.insert(what + ": " + std::string(reason_name(quarantine->reason)));
  }
  EXPECT_THAT(reasons, testing::ElementsAre("cut off: damaged", "empty: empty", "text: not-an-image"));
}

}  // namespace
}  // namespace imgpack::ingest
