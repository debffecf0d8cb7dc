#include "engine/data/image_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

namespace imgtrain::data {
namespace {

using Table = std::array<uint8_t, 256>;

void apply_table(const RgbImage& image, const Table& table) {
  for (uint8_t* p = image.pixels; p != image.pixels + image.bytes(); ++p) *p = table[*p];
}

template <typename F>
Table make_table(F value) {
  Table table;
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = static_cast<uint8_t>(std::clamp<int>(value(i), 0, 255));
  return table;
}

std::array<uint64_t, 256> histogram(const RgbImage& image, int channel) {
  std::array<uint64_t, 256> counts{};
  for (size_t i = static_cast<size_t>(channel); i < image.bytes(); i += 3) ++counts[image.pixels[i]];
  return counts;
}

void apply_channel_table(const RgbImage& image, int channel, const Table& table) {
  for (size_t i = static_cast<size_t>(channel); i < image.bytes(); i += 3) image.pixels[i] = table[image.pixels[i]];
}

// ITU-R 601-2 in 16-bit fixed point.
uint8_t luma(const uint8_t* rgb) {
  return static_cast<uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16);
}

// From `from` (factor 0) over `to` (factor 1) and beyond, in single precision, cut off and not rounded.
uint8_t blend(uint8_t from, uint8_t to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(int{to} - int{from});
  if (factor >= 0 && factor <= 1) return static_cast<uint8_t>(value);
  return value <= 0 ? 0 : value >= 255 ? 255 : static_cast<uint8_t>(value);
}

// Samples one output pixel; false: the place lies outside the image.
using Sampler = bool (*)(const RgbImage&, const uint8_t*, double, double, uint8_t*);

bool inside(const RgbImage& image, double x, double y) {
  return x >= 0 && x < image.width && y >= 0 && y < image.height;
}

bool sample_bilinear(const RgbImage& image, const uint8_t* source, double xin, double yin, uint8_t* out) {
  if (!inside(image, xin, yin)) return false;
  xin -= 0.5;
  yin -= 0.5;
  const int x = static_cast<int>(std::floor(xin)), y = static_cast<int>(std::floor(yin));
  const double dx = xin - x, dy = yin - y;
  const auto column = [&](int at) { return 3 * std::clamp(at, 0, image.width - 1); };
  const auto row = [&](int at) {
    return source + size_t{3} * static_cast<size_t>(image.width) * static_cast<size_t>(at);
  };
  const int x0 = column(x), x1 = column(x + 1);
  const uint8_t* upper = row(std::clamp(y, 0, image.height - 1));
  const uint8_t* lower = y + 1 >= 0 && y + 1 < image.height ? row(y + 1) : nullptr;
  for (int c = 0; c < 3; ++c) {
    const double v1 = upper[x0 + c] + (upper[x1 + c] - upper[x0 + c]) * dx;
    const double v2 = lower ? lower[x0 + c] + (lower[x1 + c] - lower[x0 + c]) * dx : v1;
    out[c] = static_cast<uint8_t>(v1 + (v2 - v1) * dy);
  }
  return true;
}

double cubic(double v1, double v2, double v3, double v4, double d) {
  const double p1 = v2, p2 = -v1 + v3, p3 = 2 * (v1 - v2) + v3 - v4, p4 = -v1 + v2 - v3 + v4;
  return p1 + d * (p2 + d * (p3 + d * p4));
}

bool sample_bicubic(const RgbImage& image, const uint8_t* source, double xin, double yin, uint8_t* out) {
  if (!inside(image, xin, yin)) return false;
  xin -= 0.5;
  yin -= 0.5;
  const int x = static_cast<int>(std::floor(xin)), y = static_cast<int>(std::floor(yin));
  const double dx = xin - x, dy = yin - y;
  int columns[4];
  for (int i = 0; i < 4; ++i) columns[i] = 3 * std::clamp(x - 1 + i, 0, image.width - 1);
  const auto row = [&](int at) {
    return source + size_t{3} * static_cast<size_t>(image.width) * static_cast<size_t>(at);
  };
  for (int c = 0; c < 3; ++c) {
    double values[4];
    for (int i = 0; i < 4; ++i) {
      const int at = y - 1 + i;
      // The first row is moved into the image, a later one outside repeats the one before it.
      if (i > 0 && (at < 0 || at >= image.height)) {
        values[i] = values[i - 1];
        continue;
      }
      const uint8_t* in = row(std::clamp(at, 0, image.height - 1)) + c;
      values[i] = cubic(in[columns[0]], in[columns[1]], in[columns[2]], in[columns[3]], dx);
    }
    const double value = cubic(values[0], values[1], values[2], values[3], dy);
    out[c] = value <= 0 ? 0 : value >= 255 ? 255 : static_cast<uint8_t>(value);
  }
  return true;
}

// Nearest neighbours in 16.16 fixed point; without rotation or shear, in floating point (as Pillow has it).
class NearestPlaces {
 public:
  NearestPlaces(const RgbImage& image, const Affine& m) : image_(image) {
    scale_only_ = m[1] == 0 && m[3] == 0;
    const auto fixed = [](double v) { return static_cast<int64_t>(std::floor(v * 65536.0 + 0.5)); };
    for (size_t i : {0, 1, 3, 4}) step_[i] = fixed(m[i]);
    step_[2] = fixed(m[2] + m[0] * 0.5 + m[1] * 0.5);
    step_[5] = fixed(m[5] + m[3] * 0.5 + m[4] * 0.5);
    if (!scale_only_) return;
    columns_ = places(m[2] + m[0] * 0.5, m[0], image.width);
    rows_ = places(m[5] + m[4] * 0.5, m[4], image.height);
  }
  // The source pixel of an output pixel, or -1 and -1.
  std::pair<int64_t, int64_t> at(int x, int y) const {
    int64_t xin = 0, yin = 0;
    if (scale_only_) {
      xin = columns_[static_cast<size_t>(x)];
      yin = rows_[static_cast<size_t>(y)];
    } else {
      xin = (step_[2] + step_[1] * y + step_[0] * x) >> 16;
      yin = (step_[5] + step_[4] * y + step_[3] * x) >> 16;
    }
    if (xin < 0 || xin >= image_.width || yin < 0 || yin >= image_.height) return {-1, -1};
    return {xin, yin};
  }

 private:
  static std::vector<int64_t> places(double start, double step, int count) {
    std::vector<int64_t> list(static_cast<size_t>(count));
    for (int64_t& place : list) {
      place = start < 0 ? -1 : static_cast<int64_t>(start);
      start += step;
    }
    return list;
  }

  const RgbImage& image_;
  bool scale_only_ = false;
  std::array<int64_t, 6> step_{};
  std::vector<int64_t> columns_, rows_;
};

struct Hsv {
  uint8_t h, s, v;
};

uint8_t clip8(int value) {
  return static_cast<uint8_t>(std::clamp(value, 0, 255));
}

Hsv to_hsv(const uint8_t* rgb) {
  const uint8_t r = rgb[0], g = rgb[1], b = rgb[2];
  const uint8_t high = std::max({r, g, b}), low = std::min({r, g, b});
  if (high == low) return {0, 0, high};
  const float range = static_cast<float>(high - low);
  const float s = range / static_cast<float>(high);
  const float rc = static_cast<float>(high - r) / range, gc = static_cast<float>(high - g) / range,
              bc = static_cast<float>(high - b) / range;
  float h = 0;
  if (r == high) {
    h = bc - gc;
  } else if (g == high) {
    h = static_cast<float>(2.0 + rc - bc);
  } else {
    h = static_cast<float>(4.0 + gc - rc);
  }
  h = static_cast<float>(std::fmod(h / 6.0 + 1.0, 1.0));
  return {clip8(static_cast<int>(h * 255.0)), clip8(static_cast<int>(s * 255.0)), high};
}

void from_hsv(const Hsv& hsv, uint8_t* rgb) {
  if (hsv.s == 0) {
    rgb[0] = rgb[1] = rgb[2] = hsv.v;
    return;
  }
  const double sector = static_cast<float>(hsv.h) * 6.0 / 255.0;
  const int i = static_cast<int>(std::floor(sector));
  const float f = static_cast<float>(sector - static_cast<float>(i));
  const float s = static_cast<float>(static_cast<float>(hsv.s) / 255.0);
  const float v = static_cast<float>(hsv.v);
  const uint8_t p = clip8(static_cast<int>(std::round(v * (1.0 - s))));
  const uint8_t q = clip8(static_cast<int>(std::round(v * (1.0 - s * f))));
  const uint8_t t = clip8(static_cast<int>(std::round(v * (1.0 - s * (1.0 - f)))));
  const uint8_t colours[6][3] = {{hsv.v, t, p}, {q, hsv.v, p}, {p, hsv.v, t},
                                 {p, q, hsv.v}, {t, p, hsv.v}, {hsv.v, p, q}};
  std::memcpy(rgb, colours[i % 6], 3);
}

}  // namespace

Affine rotation(double degrees, int width, int height) {
  // Whole quarter turns come out exact: what is left of a cosine of 90 degrees is rounded away.
  const auto round15 = [](double v) { return std::round(v * 1e15) / 1e15; };
  double turn = std::fmod(degrees, 360.0);
  if (turn < 0) turn += 360.0;
  const double angle = -(turn * (std::numbers::pi / 180.0));
  const double cosine = round15(std::cos(angle)), sine = round15(std::sin(angle));
  const double cx = width / 2.0, cy = height / 2.0;
  return {cosine, sine, cosine * -cx + sine * -cy + cx, -sine, cosine, -sine * -cx + cosine * -cy + cy};
}

void transform(const RgbImage& image, const Affine& matrix, Resample resample, const Rgb& fill, Scratch& scratch) {
  scratch.assign(image.pixels, image.pixels + image.bytes());
  uint8_t* out = image.pixels;
  if (resample == Resample::kNearest) {
    const NearestPlaces places(image, matrix);
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width; ++x, out += 3) {
        const auto [xin, yin] = places.at(x, y);
        const uint8_t* pixel = xin < 0 ? fill.data() : scratch.data() + 3 * (yin * image.width + xin);
        std::memcpy(out, pixel, 3);
      }
    }
    return;
  }
  const Sampler sample = resample == Resample::kBilinear ? sample_bilinear : sample_bicubic;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x, out += 3) {
      const double xin = x + 0.5, yin = y + 0.5;
      if (!sample(image, scratch.data(), matrix[0] * xin + matrix[1] * yin + matrix[2],
                  matrix[3] * xin + matrix[4] * yin + matrix[5], out))
        std::memcpy(out, fill.data(), 3);
    }
  }
}

void adjust_brightness(const RgbImage& image, double factor) {
  const auto f = static_cast<float>(factor);
  apply_table(image, make_table([&](int i) { return blend(0, static_cast<uint8_t>(i), f); }));
}

void adjust_contrast(const RgbImage& image, double factor) {
  uint64_t sum = 0;
  for (size_t i = 0; i < image.bytes(); i += 3) sum += luma(image.pixels + i);
  const size_t pixels = image.bytes() / 3;
  const double mean = static_cast<double>(sum) / static_cast<double>(pixels);
  const auto grey = static_cast<uint8_t>(mean + 0.5);  // NOLINT(bugprone-incorrect-roundings): as Pillow rounds.
  const auto f = static_cast<float>(factor);
  apply_table(image, make_table([&](int i) { return blend(grey, static_cast<uint8_t>(i), f); }));
}

void adjust_colour(const RgbImage& image, double factor) {
  const auto f = static_cast<float>(factor);
  for (uint8_t* p = image.pixels; p != image.pixels + image.bytes(); p += 3) {
    const uint8_t grey = luma(p);
    for (int c = 0; c < 3; ++c) p[c] = blend(grey, p[c], f);
  }
}

void adjust_sharpness(const RgbImage& image, double factor, Scratch& scratch) {
  if (image.width < 3 || image.height < 3) return;  // Nothing but edges, which smoothing leaves alone.
  scratch.assign(image.pixels, image.pixels + image.bytes());
  const auto f = static_cast<float>(factor);
  const float side = 1.0f / 13.0f, middle = 5.0f / 13.0f;
  const ptrdiff_t row = ptrdiff_t{3} * image.width;
  for (int y = 1; y + 1 < image.height; ++y) {
    for (ptrdiff_t x = 3; x < row - 3; ++x) {
      const uint8_t* in = scratch.data() + y * row + x;
      const auto at = [&](ptrdiff_t offset) { return static_cast<float>(in[offset]); };
      // Sums in Pillow's order: the row below, the row itself, the row above.
      float sum = 0.5f;
      sum += at(row - 3) * side + at(row) * side + at(row + 3) * side;
      sum += at(-3) * side + at(0) * middle + at(3) * side;
      sum += at(-row - 3) * side + at(-row) * side + at(-row + 3) * side;
      const auto smooth = static_cast<uint8_t>(std::min(sum, 255.0f));
      image.pixels[y * row + x] = blend(smooth, *in, f);
    }
  }
}

void shift_hue(const RgbImage& image, double shift) {
  const auto turn = static_cast<uint8_t>(static_cast<int>(shift * 255));
  for (uint8_t* p = image.pixels; p != image.pixels + image.bytes(); p += 3) {
    Hsv hsv = to_hsv(p);
    hsv.h = static_cast<uint8_t>(hsv.h + turn);
    from_hsv(hsv, p);
  }
}

void posterize(const RgbImage& image, int bits) {
  const int mask = ~((1 << (8 - bits)) - 1);
  apply_table(image, make_table([&](int i) { return i & mask; }));
}

void solarize(const RgbImage& image, double threshold) {
  apply_table(image, make_table([&](int i) { return i < threshold ? i : 255 - i; }));
}

void solarize_add(const RgbImage& image, int add, int threshold) {
  apply_table(image, make_table([&](int i) { return i < threshold ? i + add : i; }));
}

void auto_contrast(const RgbImage& image) {
  for (int channel = 0; channel < 3; ++channel) {
    const auto counts = histogram(image, channel);
    int low = 0, high = 255;
    while (low < 255 && counts[static_cast<size_t>(low)] == 0) ++low;
    while (high > 0 && counts[static_cast<size_t>(high)] == 0) --high;
    if (high <= low) continue;
    const double scale = 255.0 / (high - low), offset = -low * scale;
    apply_channel_table(image, channel, make_table([&](int i) { return static_cast<int>(i * scale + offset); }));
  }
}

void equalize(const RgbImage& image) {
  for (int channel = 0; channel < 3; ++channel) {
    const auto counts = histogram(image, channel);
    uint64_t total = 0, last = 0, kinds = 0;
    for (const uint64_t count : counts) {
      if (count == 0) continue;
      total += count;
      last = count;
      ++kinds;
    }
    const uint64_t step = (total - last) / 255;
    if (kinds <= 1 || step == 0) continue;
    uint64_t n = step / 2;
    apply_channel_table(image, channel, make_table([&](int i) {
                          const auto value = static_cast<int>(n / step);
                          n += counts[static_cast<size_t>(i)];
                          return value;
                        }));
  }
}

void invert(const RgbImage& image) {
  apply_table(image, make_table([](int i) { return 255 - i; }));
}

}  // namespace imgtrain::data
