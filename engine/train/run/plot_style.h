// What every chart of imgtrain looks like: one set of colours, one frame, texts that gnuplot takes as they are.
//
// Colours are those of Okabe and Ito (Color Universal Design, 2008), which people with any kind of colour vision tell
// apart; lines differ in their marks as well.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace imgtrain {

inline constexpr int kPlotWidth = 960, kPlotHeight = 560;  // Pixels.

// `#0072b2`; after seven they begin anew.
std::string_view plot_colour(size_t series);
inline constexpr std::string_view kPlotNote = "#666666";   // Of what stands beside the data.
inline constexpr std::string_view kPlotFaint = "#b0b0b0";  // Of raw points under a smoothed line.

enum class PlotFormat {
  kPng,
  kSvg,        // On white.
  kSvgInline,  // Without a background: part of a page.
};

// `set terminal …` and `set output …`. `name` is in an SVG's ids.
std::string plot_output(const std::filesystem::path& target, PlotFormat format, std::string_view name,
                        int width = kPlotWidth, int height = kPlotHeight);

// Axes, grid and legend; goes before each plot.
std::string plot_frame();

// `'text'` for a gnuplot script, to be followed by `noenhanced`: control characters become spaces, what is no UTF-8
// \xNN, and what is longer than `longest` bytes ends in an ellipsis.
std::string plot_text(std::string_view text, size_t longest = 60);

}  // namespace imgtrain
