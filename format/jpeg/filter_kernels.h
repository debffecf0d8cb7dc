// The resampling filters as functions of the distance, in filter supports of 1, 2 and 3 source pixels (of output pixels
// when shrinking). Free of library functions whose last bit differs between processors.
#pragma once

#include <algorithm>
#include <cmath>

namespace imgpack::jpeg {

// Where a support begins or ends, as Pillow rounds: below -0.5 it makes too much, which is clamped to 0 then.
inline int nearest_pixel(double x) {
  return static_cast<int>(x + 0.5);  // NOLINT(bugprone-incorrect-roundings)
}

struct TriangleKernel {
  static constexpr double kSupport = 1.0;
  static double weight(double x) { return std::max(1.0 - std::fabs(x), 0.0); }
};

// Keys' cubic with a = -0.5.
struct CubicKernel {
  static constexpr double kSupport = 2.0;
  static double weight(double x) {
    constexpr double a = -0.5;
    x = std::fabs(x);
    // Both, so that a compiler can make vectors of it.
    const double inner = ((a + 2.0) * x - (a + 3.0)) * x * x + 1, outer = (((x - 5) * x + 8) * x - 4) * a;
    return x < 1.0 ? inner : x < 2.0 ? outer : 0.0;
  }
};

// A sinc windowed by a wider one.
struct LanczosKernel {
  static constexpr double kSupport = 3.0;
  static double weight(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

 private:
  static constexpr double kPi = 3.14159265358979323846;

  // sin(pi x) for |x| <= 3 by its series.
  static double sine_of_pi(double x) {
    const double whole = std::floor(x + 0.5);
    const double y = (x - whole) * kPi;  // In [-pi/2, pi/2].
    const double square = y * y;
    double term = y, sum = y;
    for (int n = 2; n <= 22; n += 2) {
      term *= -square / (n * (n + 1));
      sum += term;
    }
    return static_cast<int>(whole) % 2 == 0 ? sum : -sum;
  }

  static double sinc(double x) { return x == 0.0 ? 1.0 : sine_of_pi(x) / (x * kPi); }
};

}  // namespace imgpack::jpeg
