#include "format/ingest/sample_picture.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "format/ingest/sample_random.h"

namespace imgpack::ingest {
namespace {

// Positions on a texture: 64 units are one period of the pattern.
constexpr int32_t kPeriod = 64;

int32_t wrapped(int32_t v, int32_t period = kPeriod) {
  const int32_t rest = v % period;
  return rest < 0 ? rest + period : rest;
}
int32_t cell_of(int32_t v) {
  return (v - wrapped(v)) / kPeriod;
}
bool odd(int32_t v) {
  return (v & 1) != 0;
}

bool stripes(int32_t x, int32_t) {
  return wrapped(x) < kPeriod / 2;
}
bool checks(int32_t x, int32_t y) {
  return odd(cell_of(x)) != odd(cell_of(y));
}
bool dots(int32_t x, int32_t y) {
  const int32_t dx = wrapped(x) - kPeriod / 2, dy = wrapped(y) - kPeriod / 2;
  return dx * dx + dy * dy < 21 * 21;
}
bool rings(int32_t x, int32_t y) {
  return wrapped(root_of(int64_t{x} * x + int64_t{y} * y)) < kPeriod / 2;
}
bool spiral(int32_t x, int32_t y) {
  const int32_t arms = angle_of(x, y) * kPeriod * 2 / kTurn;
  return wrapped(root_of(int64_t{x} * x + int64_t{y} * y) + arms) < kPeriod / 2;
}
bool rays(int32_t x, int32_t y) {
  return wrapped(angle_of(x, y), kTurn / 9) < kTurn / 18;
}
bool bricks(int32_t x, int32_t y) {
  const int32_t row = cell_of(y), shifted = x + (odd(row) ? kPeriod : 0);
  return wrapped(y) > 9 && wrapped(shifted, 2 * kPeriod) > 9;
}
bool waves(int32_t x, int32_t y) {
  return wrapped(x + sine(y * 5) * 34 / kOne) < kPeriod / 2;
}
bool grid(int32_t x, int32_t y) {
  return wrapped(x) < 12 || wrapped(y) < 12;
}
bool triangles(int32_t x, int32_t y) {
  const int32_t height = wrapped(y), width = std::abs(wrapped(x + (odd(cell_of(y)) ? kPeriod / 2 : 0)) - kPeriod / 2);
  return width * 2 < height;
}
bool zigzag(int32_t x, int32_t y) {
  return wrapped(x + std::abs(wrapped(y, 96) - 48)) < kPeriod / 2;
}
bool blotches(int32_t x, int32_t y) {
  return smooth_noise(7, x, y, 52) > 128;
}

using Texture = bool (*)(int32_t x, int32_t y);
struct Colour {
  int32_t part[3];
};
struct NamedTexture {
  std::string_view name;
  Texture at;
  Colour typical;  // What most surfaces of the class are near to.
};
constexpr std::array<NamedTexture, kSampleTextures> kTextures = {{
    {"stripes", stripes, {{225, 45, 45}}},
    {"checks", checks, {{235, 235, 235}}},
    {"dots", dots, {{50, 190, 60}}},
    {"rings", rings, {{50, 90, 225}}},
    {"spiral", spiral, {{235, 205, 40}}},
    {"rays", rays, {{235, 135, 30}}},
    {"bricks", bricks, {{140, 75, 45}}},
    {"waves", waves, {{45, 200, 215}}},
    {"grid", grid, {{130, 55, 190}}},
    {"triangles", triangles, {{235, 115, 185}}},
    {"zigzag", zigzag, {{30, 100, 60}}},
    {"blotches", blotches, {{60, 60, 70}}},
}};

Colour random_colour(SampleRandom& random) {
  return {{random.between(10, 245), random.between(10, 245), random.between(10, 245)}};
}

// A quarter of the way from `typical` to any other colour.
Colour near_to(const Colour& typical, const Colour& any) {
  Colour colour = typical;
  for (int i = 0; i < 3; ++i) colour.part[i] = (3 * typical.part[i] + any.part[i]) / 4;
  return colour;
}

// Far enough from `other` in brightness to be told apart, in either direction.
Colour contrasting(SampleRandom& random, const Colour& other) {
  const int32_t step = random.between(45, 130);
  const int32_t sum = other.part[0] + other.part[1] + other.part[2];
  const int32_t sign = sum > 3 * 128 ? -1 : 1;
  Colour colour = random_colour(random);
  for (int i = 0; i < 3; ++i)
    colour.part[i] = std::clamp((colour.part[i] + 2 * (other.part[i] + sign * step)) / 3, 0, 255);
  return colour;
}

// Everything about one picture that is drawn by chance. Lengths in 1/16 pixel.
struct Scene {
  Scene(const Colour& typical, uint32_t width, uint32_t height, uint64_t seed) {
    SampleRandom random(seed);
    const auto side = static_cast<int32_t>(std::max(std::min(width, height), 24u));
    centre_x = static_cast<int32_t>(width) * 16 * random.between(35, 65) / 100;
    centre_y = static_cast<int32_t>(height) * 16 * random.between(35, 65) / 100;
    radius = side * 16 * random.between(30, 52) / 100;
    turn = random.between(0, kTurn - 1);
    // One period takes between a seventh and a quarter of the short side, never under 6 pixels.
    period = std::max(side * 16 * random.between(14, 26) / 100, 6 * 16);
    phase_x = random.between(-6, 6);
    phase_y = random.between(-6, 6);
    cloud = std::max(side * random.between(20, 60) / 100, 4);
    edge = random.bits();
    light = random.between(0, kTurn - 1);
    noise = random.between(2, 14);
    for (Colour& colour : background) colour = random_colour(random);
    surface[0] = random_colour(random);
    if (!random.one_in(4)) surface[0] = near_to(typical, surface[0]);
    surface[1] = contrasting(random, surface[0]);
    bar_from = random.one_in(3) ? random.between(20, 70) : -1;
    bar = random_colour(random);
  }

  int32_t centre_x, centre_y, radius, turn, period, phase_x, phase_y, cloud, light, noise, bar_from;
  uint64_t edge;
  Colour background[2], surface[2], bar;
};

// 0 to 4 of the four points within a pixel that are on the texture's dark side, or -1 outside of the object.
int32_t coverage(const Scene& scene, Texture texture, int32_t x, int32_t y) {
  int32_t dark = 0, inside = 0;
  const int64_t c = cosine(scene.turn), s = sine(scene.turn);
  for (int32_t i = 0; i < 4; ++i) {
    const int32_t dx = x * 16 + 4 + (i & 1) * 8 - scene.centre_x, dy = y * 16 + 4 + (i >> 1) * 8 - scene.centre_y;
    // A bumpy outline: the radius varies by a quarter with the direction; noise along a circle closes on itself.
    const int32_t direction = angle_of(dx, dy);
    const int32_t bump = smooth_noise(scene.edge, cosine(direction) / 64, sine(direction) / 64, 48);
    const int64_t reach = int64_t{scene.radius} * (192 + bump / 2) / 256;
    if (int64_t{dx} * dx + int64_t{dy} * dy > reach * reach) continue;
    ++inside;
    const auto u = static_cast<int32_t>((dx * c + dy * s) / kOne * kPeriod / scene.period);
    const auto v = static_cast<int32_t>((dy * c - dx * s) / kOne * kPeriod / scene.period);
    dark += texture(u + scene.phase_x, v + scene.phase_y) ? 1 : 0;
  }
  return inside < 2 ? -1 : dark * 4 / inside;
}

int32_t blend(int32_t a, int32_t b, int32_t share, int32_t whole) {
  return (a * (whole - share) + b * share) / whole;
}

}  // namespace

std::string_view texture_name(uint32_t texture) {
  return kTextures[texture].name;
}

SamplePicture draw_sample(uint32_t texture, uint32_t width, uint32_t height, uint64_t seed) {
  const Scene scene(kTextures[texture].typical, width, height, mix_bits(seed));
  SampleRandom grain(mix_bits(seed + 1));
  SamplePicture picture{width, height, std::vector<uint8_t>(size_t{3} * width * height)};
  size_t at = 0;
  for (int32_t y = 0; y < static_cast<int32_t>(height); ++y) {
    const int32_t percent = y * 100 / static_cast<int32_t>(height);
    const bool in_bar = scene.bar_from >= 0 && percent >= scene.bar_from && percent < scene.bar_from + 7;
    for (int32_t x = 0; x < static_cast<int32_t>(width); ++x) {
      const int32_t cloudy = (2 * smooth_noise(scene.edge + 1, x, y, scene.cloud) +
                              smooth_noise(scene.edge + 2, x, y, std::max(scene.cloud / 3, 1))) /
                             3;
      const int32_t dark = coverage(scene, kTextures[texture].at, x, y);
      // Light falls off by a third across the picture.
      const int32_t along =
          (x * cosine(scene.light) + y * sine(scene.light)) / static_cast<int32_t>(std::max(width, height));
      const int32_t brightness = 256 + along * 85 / kOne;
      const auto speckle =
          static_cast<int32_t>(grain.bits() % static_cast<uint64_t>(2 * scene.noise + 1)) - scene.noise;
      for (int i = 0; i < 3; ++i) {
        int32_t value = blend(scene.background[0].part[i], scene.background[1].part[i], cloudy, 255);
        if (dark >= 0) value = blend(scene.surface[0].part[i], scene.surface[1].part[i], dark, 4);
        if (in_bar) value = scene.bar.part[i];
        picture.rgb[at++] = static_cast<uint8_t>(std::clamp(value * brightness / 256 + speckle, 0, 255));
      }
    }
  }
  return picture;
}

}  // namespace imgpack::ingest
