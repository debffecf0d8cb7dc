// The first step of build and plan: find out what the source is, read its labels, and tell the person what was found.
#pragma once

#include <optional>

#include "format/ingest/archive_source.h"
#include "format/ingest/labeling.h"
#include "tools/imgpack/pack_options.h"

namespace imgpack {

// One of the two.
struct FoundSource {
  std::optional<ingest::ArchiveSet> archives;    // Labels are known when they have been read through.
  std::optional<ingest::LabeledSource> labeled;  // A folder or a list of images: looked at and described.
};

// Talks on standard error unless the command is quiet; warnings are said in any case. Throws Error(kInvalidInput) for a
// file that is neither archive nor list.
FoundSource find_source(const PackCommand& command);

// Reads the archives' names and label files through, and describes what they hold.
ingest::LabeledSource read_archive_labels(const PackCommand& command, const ingest::ArchiveSet& archives);

// For verbs that want the labels alone.
ingest::LabeledSource look_at_labels(const PackCommand& command);

// For verbs that link to single images of a source: a folder or a list. Throws Error(kInvalidInput) for an archive.
ingest::LabeledSource look_at_files(const PackCommand& command);

// What a source holds, in words.
void describe_source(const PackCommand& command, const ingest::LabeledSource& source);

}  // namespace imgpack
